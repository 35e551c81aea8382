package commands

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// installation is a new database after the owner's commands of docs/operations.md, run as printed.
type installation struct {
	t          testing.TB
	owner, key string // the owner's DSN; the API key
	env        []string
}

func install(t testing.TB) *installation {
	t.Helper()
	doc := harness.ReadRoot(t, "docs/operations.md")
	commands := regexp.MustCompile("(?s)```bash\n(# Once, .*?)```").FindStringSubmatch(doc)
	if commands == nil {
		t.Fatal("the owner's commands are not in docs/operations.md")
	}
	bin := t.TempDir()
	testenv.NoError(t, os.Symlink(testenv.Edge(t), filepath.Join(bin, "caddy")))
	i := &installation{t: t, owner: testenv.EmptyDatabase(t)}
	i.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "OWNER_DATABASE_URL="+i.owner, "HOME="+bin)
	i.key = regexp.MustCompile(`hoko_[0-9A-Za-z]{43}`).FindString(i.run(commands[1]))
	if i.key == "" {
		t.Fatal("no key was printed")
	}
	return i
}

func (i *installation) run(script string, env ...string) string {
	i.t.Helper()
	shell := exec.CommandContext(i.t.Context(), "bash", "-euc", script)
	shell.Dir, shell.Env = "../..", append(i.env, env...)
	shell.Stderr = os.Stderr
	out, err := shell.Output()
	if err != nil {
		i.t.Fatalf("%s\n%v: %s", script, err, out)
	}
	return string(out)
}

func (i *installation) dsn(role string) string {
	i.t.Helper()
	u, err := url.Parse(i.owner)
	testenv.NoError(i.t, err)
	query := u.Query()
	query.Set("user", role)
	u.User, u.RawQuery = nil, query.Encode()
	return u.String()
}
