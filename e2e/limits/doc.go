// Package limits tests that rate limits are exact over several edges, whatever their clocks say,
// and how soon a raised limit takes effect.
package limits
