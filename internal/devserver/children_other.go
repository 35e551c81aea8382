//go:build !linux

package devserver

// children are not looked for here: a server's end by itself when they miss it.
func children(int) []int { return nil }
