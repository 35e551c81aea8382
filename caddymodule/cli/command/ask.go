package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/admin"
)

// answerError is an answer of the admin endpoint that is not a 200.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return e.text }

// Ask sends a request to the admin endpoint and returns the body of a 200. The error of another
// status has its text.
func Ask(ctx context.Context, cmd *cobra.Command, method, path string) ([]byte, error) {
	request, transport, err := AdminRequest(cmd, method, path)
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		const hint = "is the edge running? --address names another one"
		return nil, fmt.Errorf("ask the edge's admin endpoint: %w (%s)", err, hint)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask the edge's admin endpoint: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return body, nil
	}
	var failed struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &failed) != nil || failed.Error == "" {
		failed.Error = string(bytes.TrimSpace(body))
	}
	return nil, &answerError{response.StatusCode, admin.Printable(cmp.Or(failed.Error, response.Status))}
}

// maxAnswer bounds an answer of the admin endpoint, in bytes.
const maxAnswer = 16 << 20

// NotFound reports whether err is an answer of the admin endpoint that begins with what, and a 404.
// That of another path, or of another server, does not.
func NotFound(err error, what string) bool {
	answer, ok := errors.AsType[*answerError](err)
	return ok && answer.status == http.StatusNotFound && strings.HasPrefix(answer.text, what)
}

// AskKey asks a path of the admin endpoint about the key that [Key] has returned. The endpoint logs
// what it is asked, so that a whole key must not be part of it: text that may be one is sent only
// after the edge has answered that no key has its hash. A UUID and short text are sent immediately.
func AskKey(ctx context.Context, cmd *cobra.Command, method, path, which string) ([]byte, error) {
	ask := func(name, value string) ([]byte, error) {
		return Ask(ctx, cmd, method, path+"?"+url.Values{name: {value}}.Encode())
	}
	stdin := cmd.Flags().Arg(0) == "-"
	if !stdin && (len(which) <= maxShort || IsUUID(which)) {
		return ask("key", which)
	}
	answer, err := ask("hash", apikey.HashOf(which).String())
	if stdin {
		return answer, err
	}
	if strings.HasPrefix(which, "hoko_") {
		fmt.Fprintf(cmd.ErrOrStderr(), "hint: this looks like a whole key, which is now in ps and the history of the "+
			"shell: use %s - instead\n", cmd.CommandPath())
		return answer, err
	}
	if !NotFound(err, explain.NoSuchKey) {
		return answer, err
	}
	if isHash(which) { // of a key, or it was a key of 64 hex digits
		return ask("hash", which)
	}
	return ask("key", which)
}

// IsUUID reports whether text is a UUID as Postgres writes it. 32 hex digits may be a whole key.
func IsUUID(text string) bool { return len(text) == 36 && uuid.Validate(text) == nil }

// maxShort is the length up to which text is an ID or first characters, and no secret.
const maxShort = 16

func isHash(text string) bool {
	digits, err := hex.DecodeString(text)
	return err == nil && len(digits) == len(apikey.Hash{})
}
