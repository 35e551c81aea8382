package apierror

// Failure is a 5xx on its way up: the row that the caller is answered, and the
// cause, which only the log sees.
type Failure struct {
	Err   *Error
	Cause error
}

// Error is the cause's text.
func (f *Failure) Error() string { return f.Cause.Error() }

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Cause }
