package keys

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/plugin/postgres/admin"
)

func TestImport_Columns(t *testing.T) {
	hash := func(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }
	const long = "legacy_0123456789abcdef0123456789abcdef"
	for name, c := range map[string]struct {
		csv, flags, want string // of the key long, or of its hash: start, name, limit, hostnames, scopes, lifetime
	}{
		"hashes": {"sha256\n" + hash(long), "--scopes=linksRead", "  - - linksRead never"},
		"upper case, spaces, CRLF": {
			" SHA256 , Scopes\r\n " + strings.ToUpper(hash(long)) + " , linksRead  tagsRead \r\n",
			"", "  - - linksRead,tagsRead never"},
		"keys":      {"key\n" + long, "--scopes=linksRead", "legacy_01  - - linksRead never"},
		"mark":      {"\ufeffkey\n" + long, "--scopes=linksRead", "legacy_01  - - linksRead never"},
		"short key": {"key\ns3cretKey", "--scopes=linksRead", "s3  - - linksRead never"},
		"flags": {"key,name,scopes,limit,burst,expires,hostnames\n" + long + ",,,,,,",
			"--scopes=linksRead --limit=5/1s --burst=7 --expires=1h --hostnames=a.example",
			"legacy_01  5/1s burst 7 a.example linksRead 1h"},
		"columns before flags": {"scopes,limit,burst,name,expires,hostnames,key\n" +
			`"tagsRead",600/1m,1200,"Zoë, ""x""",2h,"b.example *.c.example",` + long,
			"--scopes=linksRead --limit=5/1s --burst=7 --expires=1h --hostnames=a.example",
			`legacy_01 Zoë, "x" 600/1m burst 1200 b.example,*.c.example tagsRead 2h`},
		"nothing instead of flags": {"key,limit,expires,hostnames\n" + long + ",none,never,any",
			"--scopes=linksRead --limit=5/1s --burst=7 --expires=1h --hostnames=a.example",
			"legacy_01  - - linksRead never"},
		"burst of a limit in the file": {"key,limit\n" + long + ",5/1s", "--scopes=linksRead --burst=7",
			"legacy_01  5/1s burst 7 - linksRead never"},
		"burst in the file": {"key,burst\n" + long + ",9", "--scopes=linksRead --limit=5/1s --burst=7",
			"legacy_01  5/1s burst 9 - linksRead never"},
		"burst without a limit": {"key,limit\n" + long + ",", "--scopes=linksRead --burst=7",
			"legacy_01  - - linksRead never"},
	} {
		t.Run(name, func(t *testing.T) {
			d := database(t)
			args := append([]string{"keys", "import", "--workspace=Acme"}, strings.Fields(c.flags)...)
			got := mustRun(t, c.csv, append(args, "--dry-run")...)
			n := d.Count(`SELECT count(*) FROM hoko.api_keys`)
			if got != "1 keys can be imported; nothing was changed\n" || n != 0 {
				t.Errorf("a dry run printed %q and left %d keys", got, n)
			}
			if got := mustRun(t, c.csv, args...); got != "imported 1 keys\n" {
				t.Errorf("it printed %q", got)
			}
			keys, err := admin.ListKeys(t.Context(), os.Getenv("DATABASE_URL"), admin.KeyFilter{})
			if err != nil || len(keys) != 1 {
				t.Fatal(keys, err)
			}
			key, text, lifetime := keys[0], map[string]string{}, "never"
			for _, s := range settingsOf(key, time.Now()) {
				text[s.title] = s.value.Text
			}
			if !key.ExpiresAt.IsZero() {
				lifetime = strings.TrimSuffix(time.Until(key.ExpiresAt).Round(time.Minute).String(), "0m0s")
			}
			is := strings.Join([]string{
				key.Start, key.Name, text["LIMIT"], text["HOSTNAMES"], text["SCOPES"], lifetime}, " ")
			if is != c.want {
				t.Errorf("got  %s\nwant %s", is, c.want)
			}
		})
	}
}

// No error repeats what the input holds: everything in it may be a key.
func TestImport_WrongInput(t *testing.T) {
	database(t)
	const secret = "hoko_s3cretS3cretS3cret"
	good := fmt.Sprintf("%x", sha256.Sum256(nil))
	for name, c := range map[string]struct{ csv, want string }{
		"empty":              {"", "the input is empty"},
		"no keys":            {"sha256\n\n", "no keys below the line"},
		"no header":          {secret + ",linksRead\n", "line 1: it must name the columns, but field 1"},
		"unknown column":     {"key,scope\n" + secret, "line 1: it must name the columns, but field 2"},
		"column twice":       {"key,scopes,Scopes\n" + secret, "names the column scopes twice"},
		"no column of keys":  {"scopes\n" + secret, "one of the columns sha256 and key"},
		"two columns":        {"key,sha256\n" + secret, "one of the columns sha256 and key"},
		"short line":         {"key,limit\n" + secret, "line 2: it has 1 fields"},
		"quotation mark":     {"key\n" + `"` + secret + "\n", "line"},
		"malformed hash":     {"sha256\n" + secret, "line 2: sha256 must be 64 hexadecimal digits"},
		"short hash":         {"sha256\n" + good[:62], "line 2: sha256 must be 64"},
		"empty key":          {"key,limit\n,1/s", "line 2: key must be 1 to 256"},
		"key with a space":   {"key\nBearer " + secret, "line 2: key must be 1 to 256"},
		"long key":           {"key\n" + secret + strings.Repeat("x", 256), "line 2: key must be 1 to 256"},
		"key as a scope":     {"sha256,scopes\n" + good + "," + secret, "line 2: unknown scope …"},
		"key as a limit":     {"sha256,limit\n" + good + "," + secret, "line 2: limit …: want"},
		"key as a period":    {"sha256,limit\n" + good + ",5/" + secret, "line 2: limit …: want"},
		"key as a burst":     {"sha256,burst\n" + good + "," + secret, "line 2: burst must be"},
		"key as an expiry":   {"sha256,expires\n" + good + "," + secret, "line 2: expires must be"},
		"key as its name":    {"key,name\n" + secret + "," + secret, "line 2: the name is the key itself"},
		"any and others":     {"sha256,hostnames\n" + good + ",any a.example", "line 2: hostnames must be either"},
		"key as a hostname":  {"sha256,hostnames\n" + good + ",/" + secret, "line 2: hostname …"},
		"key as a workspace": {"sha256,workspace\n" + good + "," + secret, "line 2: no such workspace …"},
		"impossible limit":   {"sha256,limit\n" + good + ",0/1m", "line 2: limit …: rate must be"},
		"burst alone":        {"sha256,burst\n" + good + ",5", "line 2: burst needs a limit"},
		"past":               {"sha256,expires\n" + good + ",2020-01-01T00:00:00Z", "line 2: the expiry time"},
		"repeated":           {"sha256\n" + good + "\n\n" + good, "line 4: the same key as line 2"},
		"several":            {"sha256,burst\n" + good + ",x\nx,\n" + good + ",", "line 3: sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, err := run(t, c.csv, "keys", "import", "--workspace=acme", "--scopes=linksRead")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(stderr+err.Error(), "s3cret") {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestImport_InputIsBounded(t *testing.T) {
	database(t)
	for name, c := range map[string]struct{ csv, want string }{
		"keys":  {"key\n" + strings.Repeat("k\n", maxKeys+1), "more than 250000 keys"},
		"bytes": {"key,name\nk," + strings.Repeat("x", maxBytes), "more than 64 MiB"},
	} {
		_, _, err := run(t, c.csv, "keys", "import", "--workspace=acme", "--scopes=linksRead")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Ctrl-C cancels the context while the command waits for input.
func TestImport_IsInterruptible(t *testing.T) {
	database(t)
	input, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := importCommand()
	cmd.SetIn(input)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{})
	if err := cmd.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestImport_AHundredThousandLines(t *testing.T) {
	d := database(t)
	var csv strings.Builder
	csv.WriteString("sha256,name,scopes,limit\n")
	for i := range 100_000 {
		fmt.Fprintf(&csv, "%x,key %d,linksRead conversionsWrite,600/1m\n", sha256.Sum256(fmt.Append(nil, i)), i)
	}
	file := filepath.Join(t.TempDir(), "keys.csv")
	if err := os.WriteFile(file, []byte(csv.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	got := fromJSON(t, mustRun(t, "", "keys", "import", "--workspace=acme", "--json", "--file", file))
	t.Logf("%d bytes in %s", csv.Len(), time.Since(start).Round(time.Millisecond))
	n := d.Count(`SELECT count(*) FROM hoko.api_keys`)
	if n != 100_000 || got["imported"] != 1e5 || got["dry_run"] != false {
		t.Errorf("%d keys; it printed %v", n, got)
	}
}
