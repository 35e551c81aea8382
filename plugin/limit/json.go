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

// MarshalJSON writes the members rate, period (nanoseconds) and, if it differs from rate, burst.
func (l Limit) MarshalJSON() ([]byte, error) {
	c := config{Rate: l.Rate, Period: period(l.Period)}
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
	*l = Limit{c.Rate, time.Duration(c.Period), cmp.Or(c.Burst, c.Rate)}
	return nil
}

// period is a duration that is written in nanoseconds, and read from nanoseconds or text.
type period time.Duration

func (p *period) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return json.Unmarshal(text, (*time.Duration)(p))
	}
	var duration string
	if err := json.Unmarshal(text, &duration); err != nil {
		return err
	}
	parsed, err := parsePeriod(duration)
	*p = period(parsed)
	return err
}
