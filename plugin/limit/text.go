package limit

import (
	"fmt"
	"strings"
	"time"
)

// String returns l as people type it, such as 600/1m, 5000/1h30m, 100000/month or, if the burst is
// not the rate, 10/1s burst 5. Parse reads it. The zero Limit is an empty text.
func (l Limit) String() string {
	if l == (Limit{}) {
		return ""
	}
	if l.Calendar != None {
		return fmt.Sprintf("%d/%s", l.Rate, l.Calendar)
	}
	text := fmt.Sprintf("%d/%s", l.Rate, periodText(l.Period))
	if l.Burst != l.Rate {
		text += fmt.Sprintf(" burst %d", l.Burst)
	}
	return text
}

// periodText formats a duration with days and without the zeros at its end.
func periodText(period time.Duration) string {
	const day = 24 * time.Hour
	text := (period % day).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	days := period / day
	switch {
	case days == 0:
		return text
	case period%day == 0:
		return fmt.Sprintf("%dd", days)
	default:
		return fmt.Sprintf("%dd%s", days, text)
	}
}
