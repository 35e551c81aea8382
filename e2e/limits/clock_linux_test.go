package limits

import (
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Redis's clock decides, so the edges' clocks do not matter.
func TestLimit_IsExactWhateverRedisClockSays(t *testing.T) {
	for name, off := range map[string]time.Duration{"a day ahead": 25 * time.Hour, "a day behind": -25 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			url := testenv.RedisWithClockSkew(t, off).URL()
			harness.WantClockSkew(t, url, off)
			limitIsExact(t, url)
		})
	}
}
