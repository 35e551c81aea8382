package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Explain plans a statement on conn.
func Explain(ctx context.Context, conn *pgx.Conn, statement string) error {
	_, err := explain(ctx, conn, nil, statement)
	return err
}
