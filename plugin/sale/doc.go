// Package sale says what is recorded: it decodes and validates
// POST /api/track/sale (Decode), records each sale exactly once in a Store
// (Recorder) and renders the answer (AppendResponse). Handler is all of it for
// net/http. The rules are those of docs/api.md.
package sale
