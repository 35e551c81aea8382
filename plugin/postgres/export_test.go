package postgres

// For tests in package postgres_test, which alone may use testenv.
var (
	Heartbeat       = heartbeat
	ErrNotListening = errNotListening
)
