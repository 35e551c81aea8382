package sales

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

const paramCount = 17

var paramFormats = []int16{1} // all binary

// columnFormats makes all columns but text binary. The columns are those of the statement's final
// SELECT, in its order.
var columnFormats = []int16{
	colOrd: 1, colSaleID: 1, colLinkCreatedAt: 1, colResponse: 0, // the others are 0: text
}

const (
	colOrd = iota
	colStatus
	colSaleID
	colAttribution
	colClickID
	colCustomerID
	colEmail
	colPhone
	colAvatar
	colLinkID
	colURL
	colShortURL
	colTitle
	colDescription
	colImage
	colUTM
	colCollectionID
	colPartnerID
	colTenantID
	colLinkExternalID
	colLinkCreatedAt
	colResponse
)

// batch holds the parameters of one execution and the rows that it returns. The next execution
// reuses its memory.
type batch struct {
	sales  []*pendingSale
	buffer []byte
	params [paramCount][]byte
	rows   []row
}

type row struct {
	status   status
	recorded *sale.Recorded // set if the status means recorded
	err      error          // why recorded could not be read
}

// encode writes the arrays in the binary format, one after the other into one buffer.
func (b *batch) encode(sales []*pendingSale, create bool) {
	b.begin(sales)
	var ends [paramCount]int
	for i, column := range parameters {
		b.array(column)
		ends[i] = len(b.buffer)
	}
	b.buffer = append(b.buffer, boolByte(create))
	ends[paramCount-1] = len(b.buffer)
	start := 0
	for i, end := range ends { // only now: append may have moved the buffer
		b.params[i] = b.buffer[start:end:end]
		start = end
	}
}

func (b *batch) begin(sales []*pendingSale) {
	b.sales = sales
	b.buffer = b.buffer[:0]
	b.rows = append(b.rows[:0], make([]row, len(sales))...)
}

// parameter is one of the statement's arrays: the type of its elements, and a function that appends
// one element to a buffer and returns false for null.
type parameter struct {
	element uint32
	append  func(dst []byte, p *pendingSale) ([]byte, bool)
}

func (b *batch) array(column parameter) {
	b.buffer = binary.BigEndian.AppendUint32(b.buffer, 1) // dimensions
	b.buffer = binary.BigEndian.AppendUint32(b.buffer, 1) // may have nulls
	b.buffer = binary.BigEndian.AppendUint32(b.buffer, column.element)
	b.buffer = binary.BigEndian.AppendUint32(b.buffer, uint32(len(b.sales)))
	b.buffer = binary.BigEndian.AppendUint32(b.buffer, 1) // lower bound
	for _, p := range b.sales {
		length := len(b.buffer)
		b.buffer = binary.BigEndian.AppendUint32(b.buffer, ^uint32(0)) // null
		var present bool
		if b.buffer, present = column.append(b.buffer, p); present {
			binary.BigEndian.PutUint32(b.buffer[length:], uint32(len(b.buffer)-length-4))
		}
	}
}

// parameters are $1 to $16 of saleSQL.
var parameters = [paramCount - 1]parameter{
	textArray(func(p *pendingSale) string { return p.WorkspaceID }),
	textArray(func(p *pendingSale) string { return p.Request.CustomerExternalID }),
	textArray(func(p *pendingSale) string { return p.Request.CustomerName }),
	optionalArray(func(p *pendingSale) *string { return p.Request.CustomerEmail.Value }),
	boolArray(func(p *pendingSale) bool { return !p.Request.CustomerEmail.Given }),
	optionalArray(func(p *pendingSale) *string { return p.Request.CustomerAvatar.Value }),
	boolArray(func(p *pendingSale) bool { return !p.Request.CustomerAvatar.Given }),
	givenArray(func(p *pendingSale) string { return p.Request.LeadEventName }),
	givenArray(func(p *pendingSale) string { return p.Request.ClickID }),
	{pgtype.UUIDOID, func(dst []byte, p *pendingSale) ([]byte, bool) { return append(dst, p.id[:]...), true }},
	{pgtype.Int8OID, func(dst []byte, p *pendingSale) ([]byte, bool) {
		return binary.BigEndian.AppendUint64(dst, uint64(p.Request.Amount)), true
	}},
	textArray(func(p *pendingSale) string { return p.Request.Currency }),
	textArray(func(p *pendingSale) string { return p.Request.EventName }),
	{pgtype.TextOID, func(dst []byte, p *pendingSale) ([]byte, bool) {
		return append(dst, p.Request.Metadata...), p.Request.Metadata != nil
	}},
	givenArray(func(p *pendingSale) string { return p.IdempotencyKey }),
	{pgtype.ByteaOID, func(dst []byte, p *pendingSale) ([]byte, bool) {
		return append(dst, p.Fingerprint[:]...), true
	}},
}

func textArray(of func(*pendingSale) string) parameter {
	return parameter{pgtype.TextOID, func(dst []byte, p *pendingSale) ([]byte, bool) {
		return append(dst, of(p)...), true
	}}
}

// givenArray returns an array with a null for each member that was not given.
func givenArray(of func(*pendingSale) string) parameter {
	return parameter{pgtype.TextOID, func(dst []byte, p *pendingSale) ([]byte, bool) {
		value := of(p)
		return append(dst, value...), value != ""
	}}
}

func optionalArray(of func(*pendingSale) *string) parameter {
	return parameter{pgtype.TextOID, func(dst []byte, p *pendingSale) ([]byte, bool) {
		value := of(p)
		if value == nil {
			return dst, false
		}
		return append(dst, *value...), true
	}}
}

func boolArray(of func(*pendingSale) bool) parameter {
	return parameter{pgtype.BoolOID, func(dst []byte, p *pendingSale) ([]byte, bool) {
		return append(dst, boolByte(of(p))), true
	}}
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (b *batch) scan(rows *pgconn.ResultReader) error {
	for rows.NextRow() {
		b.scanRow(rows.Values())
	}
	_, err := rows.Close()
	return err
}

func (b *batch) scanRow(values [][]byte) {
	i := int(binary.BigEndian.Uint32(values[colOrd])) - 1
	row, p := &b.rows[i], b.sales[i]
	row.status = parseStatus(values[colStatus])
	if row.status == statusReplay || row.status == statusExists {
		p.setReported(uuid.UUID(values[colSaleID]))
	}
	switch {
	case row.status == statusReplay || row.status == statusExists && values[colResponse] != nil:
		row.recorded, row.err = readResponse(values[colResponse])
	case row.status == statusOK || row.status == statusExists:
		row.recorded, row.err = readColumns(values, p.Request)
	}
	if row.recorded != nil {
		row.recorded.SaleID = uuid.UUID(values[colSaleID])
		row.recorded.Replayed = row.status == statusReplay
	}
	if row.err != nil {
		row.err = p.outcomeUnknown(fmt.Errorf("the sale is recorded, but its answer cannot be read: %w", row.err))
	}
}

var singleSQL = postgres.ReadQuery(queries, "query/sale_single.sql")

const (
	singleStatement = "hoko_sale_single"
	singleParams    = 14
)

// single reports whether singleSQL may record it: a first try of one sale without idempotency key.
func (a attempt) single() bool {
	if len(a.sales) != 1 || a.existing || a.tries > 0 {
		return false
	}
	p := a.sales[0]
	return p.IdempotencyKey == "" && !p.unknown && p.misses == 0
}

func (b *batch) encodeSingle(sales []*pendingSale) {
	b.begin(sales)
	var ends [singleParams]int
	var present [singleParams]bool
	for i, column := range parameters[:singleParams] {
		b.buffer, present[i] = column.append(b.buffer, sales[0])
		ends[i] = len(b.buffer)
	}
	start := 0
	for i, end := range ends { // only now: append may have moved the buffer
		b.params[i] = nil
		if present[i] {
			b.params[i] = b.buffer[start:end:end]
		}
		start = end
	}
}

// executeSingle runs singleSQL. If it recorded nothing, saleSQL must decide.
func (s *session) executeSingle(ctx context.Context, b *batch) (recorded bool, err error) {
	rows := s.conn.PgConn().ExecStatement(ctx, s.single, b.params[:singleParams], paramFormats, columnFormats)
	if err := s.checkStandbyWait(b.scan(rows)); err != nil {
		return false, err
	}
	return b.rows[0].status != "", nil
}

func (r *runner) sendSingle(a attempt) (recorded bool, err error) {
	ctx, cancel := r.session.bounded(r.ctx)
	defer cancel()
	r.batch.encodeSingle(a.sales)
	return r.session.executeSingle(ctx, &r.batch)
}
