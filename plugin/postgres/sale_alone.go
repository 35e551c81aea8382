package postgres

import (
	"context"
	_ "embed"
	"fmt"
)

//go:embed query/sale_alone.sql
var saleAloneSQL string

const (
	saleAloneStatement = "hoko_sale_alone"
	saleAloneParams    = 14
)

// alone is true of a sale that may be one of those that saleAloneSQL records:
// the first try of one that has no company and no idempotency key.
func (a attempt) alone() bool {
	if len(a.sales) != 1 || a.existing || a.tries > 0 {
		return false
	}
	p := a.sales[0]
	return p.IdempotencyKey == "" && !p.unknown && p.misses == 0
}

// encodeAlone lays the values of one sale out in the binary format.
func (b *saleBatch) encodeAlone(sales []*pendingSale) {
	b.begin(sales)
	var ends [saleAloneParams]int
	var present [saleAloneParams]bool
	for i, column := range saleArrays[:saleAloneParams] {
		b.buffer, present[i] = column.append(b.buffer, sales[0])
		ends[i] = len(b.buffer)
	}
	start := 0
	for i, end := range ends { // only now: the buffer may have moved while it grew
		b.params[i] = nil
		if present[i] {
			b.params[i] = b.buffer[start:end:end]
		}
		start = end
	}
}

// executeAlone runs saleAloneSQL. Where it has recorded nothing, saleSQL is to decide.
func (s *saleSession) executeAlone(ctx context.Context, b *saleBatch) (recorded bool, err error) {
	rows := s.conn.PgConn().ExecStatement(ctx, s.alone, b.params[:saleAloneParams], saleParamFormats, saleColumnFormats)
	if err := s.awaited(b.scan(rows)); err != nil {
		return false, err
	}
	return b.rows[0].status != "", nil
}

func (s *saleSession) prepareAlone(ctx context.Context) (err error) {
	s.alone, err = s.conn.PgConn().Prepare(ctx, saleAloneStatement, saleAloneSQL, nil)
	if err != nil {
		return fmt.Errorf("prepare the statement of a sale alone: %w", schemaError(err))
	}
	return nil
}
