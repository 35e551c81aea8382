package ratelimit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"
)

// failure is why Redis did not decide: the label of hoko_redis_errors_total.
type failure string

const (
	failRefused  failure = "refused"  // no connection could be made
	failTimeout  failure = "timeout"  // no answer in time
	failNetwork  failure = "network"  // the connection broke
	failTLS      failure = "tls"      // no secure connection
	failLoading  failure = "loading"  // Redis is starting, busy with a script or without its master
	failMemory   failure = "memory"   // -OOM
	failReadOnly failure = "readonly" // a replica, or a master that may not write
	failCluster  failure = "cluster"  // another node's key, or a cluster that is down
	failAuth     failure = "auth"     // password or ACL
	failKey      failure = "key"      // this key holds something else: the others are well
	failAnswer   failure = "answer"   // an answer that is not the script's
	failServer   failure = "server"   // any other error that Redis answers
	failClosed   failure = "closed"   // this limiter is closed
)

var failures = []failure{
	failRefused, failTimeout, failNetwork, failTLS, failLoading, failMemory, failReadOnly,
	failCluster, failAuth, failKey, failAnswer, failServer, failClosed,
}

var (
	errAnswer = errors.New("redis: an answer that is not the rate limit script's")
	errOpen   = errors.New("redis: not asked, as it did not answer")
)

// describe returns an error's text for logs, without passwords. Of an answer that was not
// understood it says no more than that, as such an answer may hold anything.
func describe(err error) string {
	if classify(err) == failAnswer {
		return errAnswer.Error()
	}
	return redact(err.Error())
}

// classify says what kind of failure err is.
func classify(err error) failure {
	if errors.Is(err, redis.Nil) {
		return failAnswer
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
	return failAnswer
}

// codes are the error codes of Redis, and of the services that speak like it, with their class.
var codes = map[string]failure{
	"LOADING": failLoading, "BUSY": failLoading, "MASTERDOWN": failLoading,
	"OOM":      failMemory,
	"READONLY": failReadOnly, "MISCONF": failReadOnly, "NOREPLICAS": failReadOnly,
	"MOVED": failCluster, "ASK": failCluster, "TRYAGAIN": failCluster,
	"CLUSTERDOWN": failCluster, "CROSSSLOT": failCluster,
	"NOAUTH": failAuth, "WRONGPASS": failAuth, "NOPERM": failAuth, "DENIED": failAuth,
	"WRONGTYPE": failKey,
}

var (
	// innerCode finds the code of an error that the script was given: up to 6.2 Redis answers
	// "ERR Error running script (call to f_…): @user_script:57: @user_script: 57: -OOM …".
	innerCode = regexp.MustCompile(`: -?([A-Z]{2,}) `)

	// denied finds a permission that a command of the script lacks: up to 7.0 these have no code of
	// their own.
	denied = regexp.MustCompile(`ACL failure in script|[Tt]he user executing the script can't`)

	// badValue finds what one key's value does to the script: Lua's errors, and those of SET with
	// an expiry that is no number. Any other error in the script is not the key's fault.
	badValue = regexp.MustCompile(`bad argument #\d+ to '|attempt to \w+|` +
		`value is not an integer or out of range|invalid expire time`)
)

// classifyServer returns the class of an error that Redis answered. What is not known to be the
// key's own trouble is Redis's, so that it opens the breaker and is logged.
func classifyServer(text string) failure {
	code, rest, _ := strings.Cut(text, " ")
	if class, ok := codes[code]; ok {
		return class
	}
	if wrongPassword.MatchString(text) { // a password that the server has none for
		return failAuth
	}
	if code != "ERR" || !strings.Contains(text, "script") {
		return failServer
	}
	for _, match := range innerCode.FindAllStringSubmatch(rest, -1) {
		if class, ok := codes[match[1]]; ok {
			return class
		}
	}
	switch {
	case denied.MatchString(rest):
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
