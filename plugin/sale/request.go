package sale

// Request is a decoded and valid POST /api/track/sale, defaults filled in.
type Request struct {
	CustomerExternalID string
	Amount             int64  // in the currency's minor unit, 0 … 2^53−1
	Currency           string // three lower-case letters
	EventName          string
	Metadata           []byte // compact JSON as it was sent; nil where there is none
	LeadEventName      string // "" is not given
	ClickID            string // "" is not given
	CustomerName       string
	CustomerEmail      Optional
	CustomerAvatar     Optional
}

// Optional is a tri-state member: absent keeps what is stored, null clears it,
// a string replaces it.
type Optional struct {
	Given bool    // the member is present
	Value *string // nil clears
}
