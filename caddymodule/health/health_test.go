package health

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var refused error = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

func TestSiteFailed_CountsForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		SiteFailed(refused)
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
		fmt.Errorf("dial upstream: %w", refused):                       true,
		&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}: true,
		&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}:          true,
		errors.New("no upstreams available"):                           true,
		errors.New("http: invalid byte in chunk length"):               false, // a client's body
		io.ErrUnexpectedEOF:                                            false,
		errors.New("maintenance"):                                      false, // error "maintenance" 503
		&net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}: false,
	} {
		if got := unreachable(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}
