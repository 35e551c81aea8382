package keys

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
)

// Bounds of an import, which is read into memory.
const (
	maxKeys  = 250_000
	maxBytes = 64 << 20

	maxKeyBytes = 256 // edges accept no longer keys
)

var optionalColumns = []string{"workspace", "name", "scopes", "limit", "burst", "expires", "hostnames"}

// lineReader reads the lines of an import.
type lineReader struct {
	defaults admin.NewKey
	burst    int // of the flag, also for limits in the input
	now      time.Time
	columns  []string
}

// read returns the keys of a CSV document. Its errors, as those of the keys, repeat nothing of it,
// except in quotation marks, which admin.ImportKeys removes.
func (r lineReader) read(input io.Reader) (keys []admin.ImportedKey, err error) {
	limited := &io.LimitedReader{R: input, N: maxBytes + 1}
	buffered := bufio.NewReader(limited)
	if mark, _ := buffered.Peek(3); bytes.Equal(mark, []byte("\ufeff")) { // Excel writes it
		buffered.Discard(3)
	}
	lines := csv.NewReader(buffered)
	lines.FieldsPerRecord = -1
	lines.TrimLeadingSpace = true
	lines.ReuseRecord = true
	for {
		record, err := lines.Read()
		switch {
		case limited.N <= 0:
			return nil, fmt.Errorf("the input has more than %d MiB: split it", maxBytes>>20)
		case errors.Is(err, io.EOF) && r.columns == nil:
			return nil, errors.New("the input is empty: its first line must name the columns, such as sha256,scopes")
		case errors.Is(err, io.EOF):
			return keys, nil
		case err != nil:
			return nil, err
		}
		line, _ := lines.FieldPos(0)
		if r.columns == nil {
			if r.columns, err = columnsOf(record); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			continue
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("the input has more than %d keys: split it", maxKeys)
		}
		key, err := r.key(record)
		key.Line, key.Err = line, err
		keys = append(keys, key)
	}
}

// columnsOf returns the names in the first line. An error does not repeat them, because the line
// may be missing, and the first one a key.
func columnsOf(record []string) (columns []string, err error) {
	for i, field := range record {
		name := strings.ToLower(strings.TrimSpace(field))
		switch {
		case name != "sha256" && name != "key" && !slices.Contains(optionalColumns, name):
			return nil, fmt.Errorf("it must name the columns, but field %d is none of sha256, key, %s", i+1,
				strings.Join(optionalColumns, ", "))
		case slices.Contains(columns, name):
			return nil, fmt.Errorf("it names the column %s twice", name)
		}
		columns = append(columns, name)
	}
	if slices.Contains(columns, "sha256") == slices.Contains(columns, "key") {
		return nil, errors.New("it must name one of the columns sha256 and key")
	}
	return columns, nil
}

// key returns the key that a line describes.
func (r lineReader) key(record []string) (key admin.ImportedKey, err error) {
	key.NewKey = r.defaults
	if len(record) != len(r.columns) {
		return key, fmt.Errorf("it has %d fields, but the first line names %d columns", len(record), len(r.columns))
	}
	var limitText, burstText string
	for i, column := range r.columns {
		field := strings.TrimSpace(record[i])
		var err error
		switch {
		case column == "sha256":
			key.Hash, err = parseHash(field)
		case column == "key":
			key.Hash, key.Start, err = hashOf(field)
		case field == "":
		case column == "workspace":
			key.Workspace = field
		case column == "name":
			key.Name = field
		case column == "scopes":
			key.Scopes = strings.Fields(field)
		case column == "hostnames":
			key.Hostnames, err = parseHostnames(strings.Fields(field))
		case column == "expires":
			key.ExpiresAt, err = parseExpiry(field, r.now)
		case column == "limit":
			limitText = field
		case column == "burst":
			burstText = field
		}
		if err != nil {
			return key, err
		}
	}
	key.Limit, err = r.keyLimit(limitText, burstText)
	return key, err
}

// keyLimit returns the limit of a line. An empty text is a field that is missing or empty.
func (r lineReader) keyLimit(limitText, burstText string) (l limit.Limit, err error) {
	switch limitText {
	case "":
		l = r.defaults.Limit
	case noLimit:
	default:
		if l, err = limit.Parse(limitText); err != nil {
			return l, err
		}
	}
	burst := r.burst
	if burstText != "" {
		if burst, err = strconv.Atoi(burstText); err != nil || burst < 1 {
			return l, errors.New("burst must be a number of requests, at least 1")
		}
	}
	if l == (limit.Limit{}) {
		if burstText != "" {
			return l, errors.New("burst needs a limit")
		}
		return l, nil
	}
	l.Burst = cmp.Or(burst, l.Burst)
	return l, l.Validate()
}

func parseHash(text string) (hash apikey.Hash, err error) {
	decoded, err := hex.DecodeString(text)
	if err != nil || len(decoded) != len(hash) {
		return hash, errors.New("sha256 must be 64 hexadecimal digits")
	}
	return apikey.Hash(decoded), nil
}

// hashOf returns the hash of a key and its first characters.
func hashOf(key string) (hash apikey.Hash, start string, err error) {
	notPrintable := func(r rune) bool { return r <= ' ' || r > '~' }
	if key == "" || len(key) > maxKeyBytes || strings.ContainsFunc(key, notPrintable) {
		return hash, "", fmt.Errorf("key must be 1 to %d printable ASCII characters without spaces", maxKeyBytes)
	}
	return apikey.HashOf(key), admin.KeyStart(key), nil
}
