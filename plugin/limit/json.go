package limit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"time"
)

// config is how a Limit stands in JSON.
type config struct {
	Rate   int    `json:"rate"`
	Period period `json:"period"`
	Burst  int    `json:"burst,omitempty"`
}

// MarshalJSON writes the members rate, period (in nanoseconds) and, unless it equals the rate, burst.
func (l Limit) MarshalJSON() ([]byte, error) {
	c := config{Rate: l.Rate, Period: period(l.Period)}
	if l.Burst != l.Rate {
		c.Burst = l.Burst
	}
	return json.Marshal(c)
}

// UnmarshalJSON reads what MarshalJSON writes. The period may also be a duration as Parse reads it. A
// burst that is missing or 0 equals the rate. Unknown members are errors. It does not validate.
func (l *Limit) UnmarshalJSON(text []byte) error {
	var c config
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // Caddy's strict decoder does not reach into this method
	if err := decoder.Decode(&c); err != nil {
		return err
	}
	*l = Limit{c.Rate, time.Duration(c.Period), cmp.Or(c.Burst, c.Rate)} // a missing period is an error
	return nil
}

// period is a duration that is written as nanoseconds, and read from them or from text.
type period time.Duration

func (p *period) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return json.Unmarshal(text, (*time.Duration)(p))
	}
	var duration string
	if err := json.Unmarshal(text, &duration); err != nil {
		return err
	}
	each, err := parsePeriod(duration)
	*p = period(each)
	return err
}
