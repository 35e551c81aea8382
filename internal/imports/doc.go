// Package imports tests the structure of the tree: which packages may import which, which libraries
// they may use, how large files and packages may be, and that the links of its pages resolve.
package imports
