package limit

import "time"

// Calendar is the period of a quota, in UTC.
type Calendar uint8

// Calendars. A month has 28 to 31 days.
const (
	None Calendar = iota // not a quota
	Day
	Month
)

var calendars = map[string]Calendar{"day": Day, "month": Month}

// String returns day, month or, for None, an empty text.
func (c Calendar) String() string {
	for name, calendar := range calendars {
		if calendar == c {
			return name
		}
	}
	return ""
}

// Bounds returns when the period that contains now began, and when the next one begins. The
// Calendar must not be None.
func (c Calendar) Bounds(now time.Time) (start, next time.Time) {
	year, month, day := now.UTC().Date()
	if c == Day {
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC), time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC), time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
}
