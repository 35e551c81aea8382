package caddymodule

import (
	"fmt"
	"time"
)

// bounds are what a setting may be. The Caddyfile's parser checks them, so that
// it can name the line, and Provision does, for JSON configs.
type bounds[T int | time.Duration] struct{ least, most T }

var (
	maxConnsBounds     = bounds[int]{5, 1000}
	redisTimeoutBounds = bounds[time.Duration]{time.Millisecond, 10 * time.Second}
	cacheSizeBounds    = bounds[int]{1, 10_000_000}
	ttlBounds          = bounds[time.Duration]{time.Second, 24 * time.Hour}
	staleBounds        = bounds[time.Duration]{0, 7 * 24 * time.Hour}
	writersBounds      = bounds[int]{1, 64}
	batchBounds        = bounds[int]{1, 1000}
	queueBounds        = bounds[int]{1, 1_000_000}
	saleTimeoutBounds  = bounds[time.Duration]{100 * time.Millisecond, 5 * time.Minute}
	bodyTimeoutBounds  = bounds[time.Duration]{100 * time.Millisecond, 5 * time.Minute}
)

// check names the setting that is out of bounds.
func (b bounds[T]) check(name string, value T) error {
	if value < b.least || value > b.most {
		return fmt.Errorf("%s must be %v … %v, not %v", name, b.least, b.most, value)
	}
	return nil
}

// checkSet is check for a setting whose zero is "not set".
func (b bounds[T]) checkSet(name string, value T) error {
	if value == 0 {
		return nil
	}
	return b.check(name, value)
}
