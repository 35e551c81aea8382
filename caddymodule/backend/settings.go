package backend

import (
	"crypto/sha256"
	"fmt"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// Settings are what a Backend is built from, with defaults filled in and placeholders expanded. They
// hold passwords, so they are never logged or marshaled. Loggers and registerers are the Backend's.
type Settings struct {
	Postgres postgres.Options
	Keys     apikey.Options
	Limits   ratelimit.Options
	Sales    sale.RecorderOptions
}

// hash identifies the settings without revealing them.
func (s Settings) hash() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%#v", s))
}
