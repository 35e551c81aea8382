// Package hostile tests that requests made to deceive the edge or the site do not: smuggled
// requests, odd frames, forged headers, other spellings, replayed handshakes, and keys in the wrong
// place.
package hostile
