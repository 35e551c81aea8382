// Package revocation tests how soon every edge rejects a revoked key: with the listener up, lost,
// mute, or never notified.
package revocation
