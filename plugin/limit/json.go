package limit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"time"
)

// config is the JSON form of a Limit.
type config struct {
	Rate   int    `json:"rate"`
	Period period `json:"period"`
	Burst  int    `json:"burst,omitempty"`
}

// MarshalJSON writes the members rate, period (nanoseconds, or the name of a calendar) and, if it
// differs from rate, burst.
func (l Limit) MarshalJSON() ([]byte, error) {
	c := config{Rate: l.Rate, Period: period{l.Period, l.Calendar}}
	if l.Burst != l.Rate {
		c.Burst = l.Burst
	}
	return json.Marshal(c)
}

// UnmarshalJSON reads the output of MarshalJSON. The period may also be a string in the units of
// Parse, such as "1m30s". A burst that is missing or 0 equals the rate. Unknown members are errors.
// The result may be invalid: see Validate.
func (l *Limit) UnmarshalJSON(text []byte) error {
	var c config
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // Caddy's strict decoder does not reach into this method
	if err := decoder.Decode(&c); err != nil {
		return err
	}
	*l = Limit{c.Rate, c.Period.duration, cmp.Or(c.Burst, c.Rate), c.Period.calendar}
	return nil
}

// period is a duration that is written in nanoseconds, and read from nanoseconds or text, or a
// calendar.
type period struct {
	duration time.Duration
	calendar Calendar
}

func (p period) MarshalJSON() ([]byte, error) {
	if p.calendar != None {
		return json.Marshal(p.calendar.String())
	}
	return json.Marshal(p.duration)
}

func (p *period) UnmarshalJSON(text []byte) (err error) {
	if text[0] != '"' {
		return json.Unmarshal(text, &p.duration)
	}
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	if p.calendar = calendars[name]; p.calendar == None {
		p.duration, err = parsePeriod(name)
	}
	return err
}
