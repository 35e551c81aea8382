package sale_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/sale"
)

// Postgres stores all metadata that Decode accepts as jsonb, in less than 1 MiB although it expands
// exponents to zeros.
func TestMetadata_IsStoredByPostgres(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), testenv.EmptyDatabase(t))
	testenv.NoError(t, err)
	defer conn.Close(t.Context())
	full := []string{fill("1e308"), fill("5e-324"), fill("0e-400"), fill("0e400"), fill("-1.7e308"), fill("9")}
	objects := slices.Concat(sale.AcceptedMetadata, full, generate(400))
	for _, object := range objects {
		body := `{"customerExternalId":"c","amount":1,"customerName":"n","metadata":` + object + `}`
		r, err := sale.Decode([]byte(body))
		if err != nil {
			t.Fatalf("%.200s is rejected: %v", object, err)
		}
		var stored string
		row := conn.QueryRow(t.Context(), "SELECT $1::text::jsonb::text", string(r.Metadata))
		if err := row.Scan(&stored); err != nil {
			t.Errorf("%.200s is not stored: %v", object, err)
			continue
		}
		if len(stored) > 1<<20 {
			t.Errorf("%.200s became %d bytes", object, len(stored))
		}
		if !reflect.DeepEqual(value(t, stored), value(t, object)) {
			t.Errorf("%.200s became %.200s", object, stored)
		}
	}
}

// fill returns metadata of the max length that repeats a number.
func fill(number string) string {
	return `{"a":[` + strings.Repeat(number+",", 9980/(len(number)+1)) + `0]}`
}

// value returns what a reader that uses doubles sees.
func value(t *testing.T, text string) (v any) {
	t.Helper()
	testenv.NoError(t, json.Unmarshal([]byte(text), &v))
	return positiveZero(v)
}

// positiveZero returns v without negative zeros, which jsonb does not have.
func positiveZero(v any) any {
	switch v := v.(type) {
	case float64:
		return v + 0
	case []any:
		for i := range v {
			v[i] = positiveZero(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = positiveZero(v[name])
		}
	}
	return v
}

// generate returns n random objects, the same in each run.
func generate(n int) []string {
	random := rand.New(rand.NewPCG(1, 2))
	objects := make([]string, n)
	for i := range objects {
		objects[i] = object(random, 5)
	}
	return objects
}

func object(random *rand.Rand, depth int) string {
	members := make([]string, random.IntN(5))
	for i := range members {
		members[i] = fmt.Sprintf(`"%d%s":%s`, i, text(random), anything(random, depth-1))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func anything(random *rand.Rand, depth int) string {
	switch random.IntN(6) {
	case 0:
		return [...]string{"null", "true", "false"}[random.IntN(3)]
	case 1:
		return `"` + text(random) + `"`
	case 2, 3:
		return number(random)
	}
	if depth == 0 {
		return "[]"
	}
	if random.IntN(2) == 0 {
		return object(random, depth)
	}
	elements := make([]string, random.IntN(4))
	for i := range elements {
		elements[i] = anything(random, depth-1)
	}
	return "[" + strings.Join(elements, ",") + "]"
}

// number returns a number with any exponent of a double, or a zero with any exponent in metadata.
func number(random *rand.Rand) string {
	if random.IntN(8) == 0 {
		return fmt.Sprintf("-0.00e%+d", random.IntN(801)-400)
	}
	return fmt.Sprintf("%d.%de%s", random.IntN(10), random.Uint64(), strconv.Itoa(random.IntN(600)-299))
}

// text returns a few characters from all of Unicode, half of them escaped.
func text(random *rand.Rand) string {
	var b strings.Builder
	for range random.IntN(6) {
		switch r := rune(1 + random.IntN(0xd7ff)); {
		case random.IntN(2) == 0 || r < ' ' || r == '"' || r == '\\':
			fmt.Fprintf(&b, `\u%04x`, r)
		case r%7 == 0:
			b.WriteRune(r + 0x10000)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
