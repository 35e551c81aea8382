package ratelimit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"
)

// failure is the class of an error that keeps Redis from deciding: a label of
// hoko_redis_errors_total.
type failure string

const (
	failRefused  failure = "refused"  // cannot connect
	failTimeout  failure = "timeout"  // no reply in time
	failNetwork  failure = "network"  // the connection broke
	failTLS      failure = "tls"      // the TLS handshake failed
	failLoading  failure = "loading"  // starting, busy with a script, or without a master
	failMemory   failure = "memory"   // -OOM
	failReadOnly failure = "readonly" // a replica, or a master that does not accept writes
	failCluster  failure = "cluster"  // the key is on another node, or the Cluster is down
	failAuth     failure = "auth"     // wrong password, or missing ACL permission
	failKey      failure = "key"      // this key holds another program's value
	failReply    failure = "answer"   // not a possible reply of the script
	failServer   failure = "server"   // any other error from Redis
	failClosed   failure = "closed"   // the Limiter is closed
)

var failures = []failure{
	failRefused, failTimeout, failNetwork, failTLS, failLoading, failMemory, failReadOnly,
	failCluster, failAuth, failKey, failReply, failServer, failClosed,
}

var (
	errReply = errors.New("redis: unexpected reply to the rate limit script")
	errOpen  = errors.New("redis: circuit breaker is open")
)

// describe returns an error's text for logs, without passwords. It does not quote replies that
// cannot be the script's, because they may contain anything.
func describe(err error) string {
	if !errors.Is(err, errOpen) && classify(err) == failReply {
		return errReply.Error()
	}
	return redact(err.Error())
}

// classify returns the class of err.
func classify(err error) failure {
	if errors.Is(err, redis.Nil) {
		return failReply
	}
	if server, ok := errors.AsType[redis.Error](err); ok {
		return classifyServer(server.Error())
	}
	switch {
	case errors.Is(err, redis.ErrClosed):
		return failClosed
	case isTimeout(err):
		return failTimeout
	case isDial(err):
		return failRefused
	case isTLS(err):
		return failTLS
	case isNetwork(err):
		return failNetwork
	}
	return failReply
}

// errorType returns the class of err, or "" for nil.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	return string(classify(err))
}

// errorCodes are the classes of the error codes of Redis and compatible services.
var errorCodes = map[string]failure{
	"LOADING": failLoading, "BUSY": failLoading, "MASTERDOWN": failLoading,
	"OOM":      failMemory,
	"READONLY": failReadOnly, "MISCONF": failReadOnly, "NOREPLICAS": failReadOnly,
	"MOVED": failCluster, "ASK": failCluster, "TRYAGAIN": failCluster,
	"CLUSTERDOWN": failCluster, "CROSSSLOT": failCluster,
	"NOAUTH": failAuth, "WRONGPASS": failAuth, "NOPERM": failAuth, "DENIED": failAuth,
	"WRONGTYPE": failKey,
}

var (
	// commandCode matches the code of a command's error in the script. Redis before 7.0 returns
	// "ERR Error running script (call to f_…): @user_script:57: @user_script: 57: -OOM …".
	commandCode = regexp.MustCompile(`: -?([A-Z]{2,}) `)

	// aclDenied matches a missing permission in the script. Redis before 7.2 has no code for it.
	aclDenied = regexp.MustCompile(`ACL failure in script|[Tt]he user executing the script can't`)

	// badValue matches the errors that a key's invalid value causes in the script: Lua's, and those
	// of SET with an invalid expiry.
	badValue = regexp.MustCompile(`bad argument #\d+ to '|attempt to \w+|` +
		`value is not an integer or out of range|invalid expire time`)
)

// classifyServer returns the class of an error that Redis returned. It is failKey only if the key's
// value is known to be the cause: all other classes open the breaker and are logged.
func classifyServer(text string) failure {
	code, rest, _ := strings.Cut(text, " ")
	if class, ok := errorCodes[code]; ok {
		return class
	}
	if wrongPassword.MatchString(text) { // also if the server has no password
		return failAuth
	}
	if code != "ERR" || !strings.Contains(text, "script") {
		return failServer
	}
	for _, match := range commandCode.FindAllStringSubmatch(rest, -1) {
		if class, ok := errorCodes[match[1]]; ok {
			return class
		}
	}
	switch {
	case aclDenied.MatchString(rest):
		return failAuth
	case badValue.MatchString(rest):
		return failKey
	}
	return failServer
}

func isTimeout(err error) bool {
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout)
}

func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func isTLS(err error) bool {
	return isA[tls.RecordHeaderError](err) || isA[tls.AlertError](err) ||
		isA[*tls.CertificateVerificationError](err) || isA[x509.UnknownAuthorityError](err)
}

func isNetwork(err error) bool {
	return isA[net.Error](err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, context.Canceled)
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// LogTo logs go-redis's own messages as warnings to logger, each format at most once in ten seconds
// and without passwords. go-redis has one logger per process, so LogTo affects all Limiters, and
// logger must outlive them. By default, or if logger is nil, the messages are discarded.
func LogTo(logger *slog.Logger) { messages.to.Store(logger) }

// messages becomes go-redis's logger when the first Limiter is made.
var messages = newMessageFilter()

// messageFilter throttles and redacts messages.
type messageFilter struct {
	once sync.Once // of install
	to   atomic.Pointer[slog.Logger]

	mu        sync.Mutex
	throttles map[string]*rate.Sometimes // by format, so that a common one does not hide a rare one
}

// maxFormats bounds the throttles. go-redis has about fifty formats.
const maxFormats = 200

func newMessageFilter() *messageFilter {
	return &messageFilter{throttles: map[string]*rate.Sometimes{}}
}

// throttle returns the throttle of a format; all formats beyond maxFormats share one.
func (m *messageFilter) throttle(format string) *rate.Sometimes {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.throttles) == maxFormats && m.throttles[format] == nil {
		format = ""
	}
	if m.throttles[format] == nil {
		m.throttles[format] = &rate.Sometimes{Interval: 10 * time.Second}
	}
	return m.throttles[format]
}

func (m *messageFilter) install() { m.once.Do(func() { redis.SetLogger(m) }) }

// Printf implements go-redis's logging interface.
func (m *messageFilter) Printf(ctx context.Context, format string, args ...any) {
	logger := m.to.Load()
	if logger == nil {
		return
	}
	var due bool // so that the lock of rate.Sometimes is not held while logging
	m.throttle(format).Do(func() { due = true })
	if due {
		for i, arg := range args {
			if err, ok := arg.(error); ok {
				args[i] = describe(err)
			}
		}
		logger.WarnContext(ctx, "redis client", slog.String("message", redact(fmt.Sprintf(format, args...))))
	}
}

// secret matches text that may contain a password: a URL's user information, and the arguments that
// a server without AUTH or HELLO repeats in its error.
var secret = regexp.MustCompile(`(?s)://[^/\s]*@|with args beginning with.*`)

func redact(text string) string { return secret.ReplaceAllString(text, "[redacted]") }
