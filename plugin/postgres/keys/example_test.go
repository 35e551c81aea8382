package keys_test

import (
	"context"
	"fmt"
	"os"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/keys"
)

// The authenticator caches what the store returns. The listener reports which keys have changed.
func ExampleListener() {
	options := postgres.Options{DSN: os.Getenv("DATABASE_URL")}
	store, err := keys.NewStore(options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	authenticator, err := apikey.New(store, apikey.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer authenticator.Close()
	listener, err := keys.NewListener(options, store, authenticator)
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithCancel(context.Background())
	listened := make(chan error)
	go func() { listened <- listener.Run(ctx) }()
	// Call authenticator.Authenticate for each request.
	cancel()
	<-listened // before the store closes
}
