package health

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestSiteFailed_CountsForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		SiteFailed(errors.New("no upstreams available"))
		time.Sleep(siteMemory - time.Nanosecond)
		if !siteFailedLately() {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if siteFailedLately() {
			t.Error("not forgotten")
		}
	})
}

func TestSiteFailed_ErrorsThatCount(t *testing.T) {
	for err, want := range map[error]bool{
		&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}: true,
		errors.New("no upstreams available"):                  true,
		errors.New("http: invalid byte in chunk length"):      false, // a client's body
		errors.New("maintenance"):                             false, // error "maintenance" 503
		io.ErrUnexpectedEOF:                                   false,
		&net.OpError{Op: "write", Err: syscall.ECONNRESET}:    false,
	} {
		if got := unreachable(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}
