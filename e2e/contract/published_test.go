package contract

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// example is a status of docs/api.md with its example requests and answer.
type example struct{ status, curl, fetch, answer string }

func publishedExamples(t *testing.T) []example {
	t.Helper()
	doc := harness.ReadRoot(t, "docs/api.md")
	section := regexp.MustCompile(
		"(?ms)^### (\\d{3})\n\n```bash\n(.*?)```\n\n```javascript\n(.*?)```\n\n```json\n(.*?)```")
	var examples []example
	for _, m := range section.FindAllStringSubmatch(doc, -1) {
		examples = append(examples, example{m[1], m[2], m[3], m[4]})
	}
	if len(examples) != 5 {
		t.Fatalf("found %d published examples, want 5", len(examples))
	}
	return examples
}

var retryAfter = regexp.MustCompile(`"retryAfter":([1-9]|[1-5][0-9]|60)\}`)

func compact(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(json.RawMessage(text)); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// The examples call https://hoko.to. curl's configuration file and a preloaded Node module redirect
// that name to the edge; the examples are unchanged.
func TestPublishedExamples_AnswerAsPublished(t *testing.T) {
	for _, tool := range []string{"curl", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v: run script/bootstrap", err)
		}
	}
	for _, ex := range publishedExamples(t) {
		t.Run(ex.status, func(t *testing.T) {
			for _, language := range []string{"curl", "fetch"} {
				t.Run(language, func(t *testing.T) {
					key, limit := harness.FullKey, "limit 600/1m"
					if ex.status == "403" {
						key = harness.ReadOnlyKey
					}
					if ex.status == "429" {
						limit = "limit 1/1m burst 1"
					}
					dsn := testenv.Database(t)
					harness.Seed(t, dsn)
					edit := harness.Replace("limit 600/1m", limit+"\n")
					e := harness.Start(t, harness.Settings{DatabaseURL: dsn, RedisURL: testenv.Redis(t),
						Upstream: "127.0.0.1:1", Host: "hoko.to", Edit: edit})
					run := runCurl
					script := strings.ReplaceAll(ex.curl, "<API_KEY>", key)
					if language == "fetch" {
						run, script = runFetch, strings.ReplaceAll(ex.fetch, "<API_KEY>", key)
					}
					if ex.status == "429" {
						run(t, e, script) // uses up the limit
					}
					status, body := run(t, e, script)
					if ex.status == "429" {
						body = retryAfter.ReplaceAllString(body, `"retryAfter":60}`) // the answer counts down from 60
					}
					if want := compact(t, ex.answer); status != ex.status || body != want {
						t.Fatalf("got %s %s\nwant %s %s", status, body, ex.status, want)
					}
				})
			}
		})
	}
}

func runCurl(t *testing.T, e *harness.Edge, script string) (status, body string) {
	t.Helper()
	rc := fmt.Sprintf("silent\ncacert = %q\nconnect-to = \"hoko.to:443:127.0.0.1:%d\"\n"+
		"write-out = \"\\n%%{http_code}\"\n", e.CAFile(), e.Port)
	testenv.NoError(t, os.WriteFile(filepath.Join(e.Dir, ".curlrc"), []byte(rc), 0o600))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Env = append(os.Environ(), "CURL_HOME="+e.Dir, "HOME="+e.Dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body, status = cutLast(string(out), "\n")
	return status, body
}

func runFetch(t *testing.T, e *harness.Edge, script string) (status, body string) {
	t.Helper()
	preload := filepath.Join(e.Dir, "preload.cjs")
	err := os.WriteFile(preload, []byte(fmt.Sprintf(`const tls = require('node:tls');
const connect = tls.connect;
tls.connect = (options, ...rest) => connect({...options, host: '127.0.0.1', port: %d, servername: 'hoko.to'}, ...rest);
const fetched = globalThis.fetch;
globalThis.fetch = async (...args) => {
	const response = await fetched(...args);
	process.stdout.write(await response.clone().text() + '\n' + response.status);
	return response;
};
`, e.Port)), 0o600)
	testenv.NoError(t, err)
	file := filepath.Join(e.Dir, "example.mjs")
	testenv.NoError(t, os.WriteFile(file, []byte(script), 0o600))
	cmd := exec.CommandContext(t.Context(), "node", "--require", preload, file)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+e.CAFile())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body, status = cutLast(string(out), "\n")
	return status, body
}

func cutLast(s, sep string) (before, after string) {
	i := strings.LastIndex(s, sep)
	return s[:i], s[i+len(sep):]
}
