package ratelimit

import (
	"net/http"
	"strconv"
	"time"

	"hoko.to/edge/plugin/apierror"
)

// headers are the names as net/http spells them.
var headers = [...]string{
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Ratelimit-Policy", "Ratelimit",
}

// SetHeaders sets X-RateLimit-Limit (requests that the bucket holds), -Remaining and -Reset (Unix seconds
// at which it is full again), and RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10)
// with name as the policy's, which must satisfy ValidateName. With no name it leaves those two out: a
// budget that is no policy, such as that of guesses, has none. If no limit was evaluated it sets nothing.
// Retry-After is the 429's own and not set here.
func (d Decision) SetHeaders(h http.Header, name string, now time.Time) {
	if !d.Evaluated {
		return
	}
	// One string holds all five values and one array all five slices: this runs for every request.
	var buf [256]byte
	var ends [5]int
	b := strconv.AppendInt(buf[:0], int64(d.Limit.Burst), 10)
	ends[0] = len(b)
	b = strconv.AppendInt(b, int64(d.Remaining), 10)
	ends[1] = len(b)
	b = strconv.AppendInt(b, ceilUnix(now.Add(d.ResetAfter)), 10)
	ends[2] = len(b)
	fields := headers[:3]
	if name != "" {
		b = appendItem(b, name, ";q=", int64(d.Limit.Burst), ";w=", apierror.Seconds(d.Limit.Fill()))
		ends[3] = len(b)
		b = appendItem(b, name, ";r=", int64(d.Remaining), ";t=", apierror.Seconds(d.ResetAfter))
		ends[4] = len(b)
		fields = headers[:]
	}
	all, values, start := string(b), new([5]string), 0
	for i, key := range fields {
		values[i] = all[start:ends[i]]
		h[key] = values[i : i+1 : i+1]
		start = ends[i]
	}
}

// appendItem writes an RFC 9651 item: a string with two integer parameters.
func appendItem(b []byte, name, key1 string, n1 int64, key2 string, n2 int64) []byte {
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, '"')
	b = append(b, key1...)
	b = strconv.AppendInt(b, n1, 10)
	b = append(b, key2...)
	return strconv.AppendInt(b, n2, 10)
}

func ceilUnix(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
