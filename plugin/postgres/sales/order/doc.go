// Package order tests that sales recorded at the same time by several edges have the effects and
// responses of some serial order, and those of a model if they come one after the other.
package order
