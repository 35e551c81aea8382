package report

// Bar is what a figure is held against.
type Bar struct {
	What      string
	Figure    Figure
	Unit      Unit
	Must, May Bound // bar and hope
}

// Bound is a limit of a figure. The zero value bounds nothing.
type Bound struct {
	sign  string
	value float64
}

// AtLeast returns the bound that v and more hold.
func AtLeast(v float64) Bound { return Bound{"≥", v} }

// AtMost returns the bound that v and less hold.
func AtMost(v float64) Bound { return Bound{"≤", v} }

func (b Bound) holds(v float64) bool {
	return b.sign == "≥" && v >= b.value || b.sign == "≤" && v <= b.value
}

func (b Bound) in(u Unit) string {
	if b == (Bound{}) {
		return ""
	}
	return b.sign + " " + u.Show(b.value)
}

// verdict is ok or short; reported if there is no bar.
func (b Bar) verdict() string {
	switch {
	case b.Must == Bound{}:
		return "reported"
	case b.Must.holds(b.Figure.Value):
		return "ok"
	}
	return "short"
}

// hope is what was hoped for, and whether it came true.
func (b Bar) hope() string {
	if b.May.holds(b.Figure.Value) {
		return b.May.in(b.Unit) + " ✓"
	}
	return b.May.in(b.Unit)
}
