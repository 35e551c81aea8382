package postgres

import "context"

// CheckListener listens until a heartbeat has been heard, or ctx ends, and says
// why none was: ErrUnheard where notifications do not arrive.
func CheckListener(ctx context.Context, o Options) error {
	keys, err := NewKeyStore(o)
	if err != nil {
		return err
	}
	defer keys.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := NewListener(o, keys, firstHeard(cancel))
	if err != nil {
		return err
	}
	h, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer h.end()
	for err == nil {
		err = h.beat(ctx)
	}
	switch {
	case h.proven:
		return nil
	case h.unsent != nil:
		return h.unsent
	}
	return err
}

// firstHeard is called when the listener listens.
type firstHeard func()

func (f firstHeard) Listening()  { f() }
func (firstHeard) Notify(string) {}
func (firstHeard) Deaf()         {}
