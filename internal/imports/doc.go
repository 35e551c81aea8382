// Package imports tests the structure of the tree: which packages and libraries a package may
// import, how large files and packages may be, and what the scripts accept.
package imports
