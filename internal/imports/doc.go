// Package imports tests the structure of the tree: which packages may import which, which libraries
// they may use, and how large files and packages may be.
package imports
