package report

// Target is a figure with the bound that it must meet and a stretch goal.
type Target struct {
	Name           string
	Figure         Figure
	Unit           Unit
	Required, Goal Bound
}

// Bound is a limit of a figure. The zero value is no limit.
type Bound struct {
	sign  string
	value float64
}

// AtLeast returns a bound that v and larger values meet.
func AtLeast(v float64) Bound { return Bound{"≥", v} }

// AtMost returns a bound that v and smaller values meet.
func AtMost(v float64) Bound { return Bound{"≤", v} }

func (b Bound) isMet(v float64) bool {
	return b.sign == "≥" && v >= b.value || b.sign == "≤" && v <= b.value
}

func (b Bound) format(u Unit) string {
	if b == (Bound{}) {
		return ""
	}
	return b.sign + " " + u.Format(b.value)
}

func (t Target) verdict() string {
	switch {
	case t.Required == Bound{}:
		return "reported"
	case t.Required.isMet(t.Figure.Value):
		return "met"
	}
	return "missed"
}

// goal returns the goal as text, with a check mark if it is met.
func (t Target) goal() string {
	text := t.Goal.format(t.Unit)
	if t.Goal.isMet(t.Figure.Value) {
		text += " ✓"
	}
	return text
}
