package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"hoko.to/edge/plugin/apikey"
)

// memory is a Store in memory. The edge uses keys.Store of plugin/postgres/keys.
type memory map[apikey.Hash]*apikey.Key

func (m memory) Keys(_ context.Context, hashes []apikey.Hash) (map[apikey.Hash]*apikey.Key, error) {
	found := make(map[apikey.Hash]*apikey.Key)
	for _, hash := range hashes {
		if key, ok := m[hash]; ok {
			found[hash] = key
		}
	}
	return found, nil
}

func Example() {
	hash := apikey.HashOf("hoko_secret") // the key itself is never stored
	scopes := apikey.ScopesOf([]string{"linksRead"})
	store := memory{hash: {ID: "key_1", Hash: hash, WorkspaceID: "ws_1", Scopes: scopes}}
	keys, err := apikey.New(store, apikey.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer keys.Close()

	sent := http.Header{"Authorization": {"Bearer hoko_secret"}}
	for _, scope := range []string{"linksRead", "conversionsWrite"} {
		required, _ := apikey.ParseRequired([]string{scope})
		key, _, err := keys.Authenticate(context.Background(), sent, "192.0.2.1", required)
		if missing, ok := errors.AsType[*apikey.MissingScopes](err); ok {
			fmt.Println("403, missing", missing.Scopes)
			continue
		}
		fmt.Println("a key of", key.WorkspaceID)
	}

	_, _, err = keys.Authenticate(context.Background(), http.Header{}, "192.0.2.1", apikey.Required{})
	if rejected, ok := errors.AsType[*apikey.Rejected](err); ok {
		fmt.Println("401,", rejected.Cause, "key")
	}
	// Output:
	// a key of ws_1
	// 403, missing [conversionsWrite]
	// 401, missing key
}

func ExampleParseRequired() {
	required, err := apikey.ParseRequired([]string{"linksRead", "linksWrite"})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Write does not imply Read.
	fmt.Println(required.Missing(apikey.ScopesOf([]string{"linksWrite"})))

	_, err = apikey.ParseRequired([]string{"linksread"})
	fmt.Println(err != nil)
	// Output:
	// [linksRead]
	// true
}
