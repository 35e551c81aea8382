package apierror

// Failure is a 5xx that a handler returns instead of writing it.
type Failure struct {
	Err   *Error // the row to answer with
	Cause error  // for the log only
}

// Error returns the text of Cause.
func (f *Failure) Error() string { return f.Cause.Error() }

// Unwrap returns Cause.
func (f *Failure) Unwrap() error { return f.Cause }
