package admin

import (
	"context"
	"fmt"
	"time"

	"hoko.to/edge/plugin/postgres"
)

// Server is what a database server says of itself.
type Server struct {
	Version string // such as 17.2
	Major   int
	Clock   time.Time
	// Encoding of the database: UTF8, or one that cannot keep every character.
	Encoding string
	// ReadOnly: a standby, or a role or database that is set to read only.
	ReadOnly bool
}

// AskServer connects and asks. Its error is that of connecting where that fails.
func AskServer(ctx context.Context, dsn string) (Server, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return Server{}, err
	}
	defer postgres.CloseConn(conn)
	const question = `
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, clock_timestamp(),
  current_setting('server_encoding'), current_setting('transaction_read_only')::bool`
	var s Server
	if err := conn.QueryRow(ctx, question).Scan(&s.Version, &s.Major, &s.Clock, &s.Encoding, &s.ReadOnly); err != nil {
		return Server{}, fmt.Errorf("ask the server: %w", err)
	}
	return s, nil
}
