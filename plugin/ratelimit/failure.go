package ratelimit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
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

// describe returns an error's text for logs, without passwords. Of an answer that was not understood it
// says no more than that, as such an answer may hold anything.
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

func classifyServer(text string) failure {
	code, _, _ := strings.Cut(text, " ")
	switch code {
	case "LOADING", "BUSY", "MASTERDOWN":
		return failLoading
	case "OOM":
		return failMemory
	case "READONLY", "MISCONF", "NOREPLICAS":
		return failReadOnly
	case "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT":
		return failCluster
	case "NOAUTH", "WRONGPASS", "NOPERM":
		return failAuth
	case "WRONGTYPE":
		return failKey
	case "ERR":
		if strings.Contains(text, "user_script") { // the script itself stumbled: over a value that is no number
			return failKey
		}
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
