package sales

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/sale"
)

func TestSplitConflicting_InEveryLanguage(t *testing.T) {
	for _, c := range []struct {
		name       string
		err        error
		duplicates string
	}{
		{"a duplicate", &pgconn.PgError{TableName: keysTable,
			Detail: "Key (workspace_id, key)=(w2, b) already exists."}, "w2/b w2/c"},
		{"in German", &pgconn.PgError{TableName: keysTable,
			Detail: "Schlüssel »(workspace_id, key)=(w2, b)« existiert bereits."}, "w2/b w2/c"},
		{"a key that reads like another's", &pgconn.PgError{TableName: keysTable,
			Detail: "Key (workspace_id, key)=(w3, z=(w2, b)) already exists."}, "w3/z=(w2, b) w3/x)=(w2, b"},
		{"a key that names another's first", &pgconn.PgError{TableName: keysTable,
			Detail: "Key (workspace_id, key)=(w3, x)=(w2, b)) already exists."}, "w3/z=(w2, b) w3/x)=(w2, b"},
		{"without the right to read it", &pgconn.PgError{TableName: keysTable}, ""},
		{"a wait", &pgconn.PgError{Where: `while inserting index tuple (0,1) in relation "idempotency_keys_pkey"`}, ""},
		{"a duplicate sale", &pgconn.PgError{TableName: "sales", Detail: "Key (id)=(w2, b) already exists."}, ""},
		{"a wait for a customer", &pgconn.PgError{Where: `while inserting index tuple (0,1) in relation ` +
			`"customers_workspace_id_external_id_key"`}, ""},
		{"another error", errors.New("idempotency_keys"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sales []*pendingSale
			for _, name := range []string{"w1/a", "w2/b", "w2/c", "w2/", "w3/z=(w2, b)", "w3/x)=(w2, b", "w4/"} {
				workspace, key, _ := strings.Cut(name, "/")
				sales = append(sales, &pendingSale{Sale: &sale.Sale{WorkspaceID: workspace, IdempotencyKey: key}})
			}
			duplicates, others := splitConflicting(sales, c.err)
			var names []string
			for _, p := range duplicates {
				names = append(names, p.WorkspaceID+"/"+p.IdempotencyKey)
			}
			if got := strings.Join(names, " "); got != c.duplicates || len(duplicates)+len(others) != len(sales) {
				t.Errorf("duplicates %s, want %s; %d others", got, c.duplicates, len(others))
			}
		})
	}
}

// The caller chooses the key, and the error's detail contains it unescaped.
func FuzzSplitConflicting(f *testing.F) {
	for _, key := range []string{"order 1", "x)=(w1, order 1", "(w1, order 1)", ", ", ")"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if key == "" {
			return
		}
		duplicate := &pendingSale{Sale: &sale.Sale{WorkspaceID: "w2", IdempotencyKey: key}}
		neighbors := []*pendingSale{
			{Sale: &sale.Sale{WorkspaceID: "w1", IdempotencyKey: "order 1"}},
			{Sale: &sale.Sale{WorkspaceID: "w1", IdempotencyKey: key}},
			{Sale: &sale.Sale{WorkspaceID: "w2"}},
		}
		duplicates, others := splitConflicting(append(neighbors, duplicate), &pgconn.PgError{
			TableName: keysTable,
			Detail:    "Key (workspace_id, key)=(w2, " + key + ") already exists.",
		})
		if !slices.Equal(duplicates, []*pendingSale{duplicate}) || !slices.Equal(others, neighbors) {
			t.Errorf("%d duplicates and %d others", len(duplicates), len(others))
		}
	})
}
