package sales

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

// sessionSettings returns the settings of the sessions. A PgBouncer may refuse them; then ALTER
// ROLE must set them.
func sessionSettings(statementTimeout time.Duration) map[string]string {
	return map[string]string{
		// Planning the statement costs more than running it.
		"plan_cache_mode": "force_generic_plan",
		// So the plan of an empty database must serve a grown one: it may not read a whole table or
		// all leads of a customer.
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"jit":               "off",
		// The statement can wait for another session that is creating the same customer.
		"lock_timeout":                  strconv.FormatInt(minLockTimeout.Milliseconds(), 10),
		"default_transaction_isolation": "read committed",
		// A canceled wait for the standbys is only a warning; see session.notice.
		"client_min_messages": "warning",
		"statement_timeout":   strconv.FormatInt(max(statementTimeout.Milliseconds(), 1), 10),
		"tcp_user_timeout":    strconv.FormatInt(postgres.PeerTimeout.Milliseconds(), 10),
	}
}

const settingsHoldSQL = `SELECT current_setting('plan_cache_mode') = 'force_generic_plan'
	AND current_setting('enable_seqscan') = 'off' AND current_setting('enable_bitmapscan') = 'off'
	AND current_setting('jit') = 'off'
	AND current_setting('default_transaction_isolation') = 'read committed'
	AND current_setting('lock_timeout') <> '0' AND current_setting('statement_timeout') <> '0'
	AND current_setting('client_min_messages') <> 'error',
	current_setting('synchronous_commit') = 'off'
	OR current_setting('synchronous_commit') = 'local' AND current_setting('synchronous_standby_names') <> '',
	(extract(epoch FROM current_setting('statement_timeout')::interval) * 1000)::bigint,
	(extract(epoch FROM current_setting('lock_timeout')::interval) * 1000)::bigint`

const settingsAdvice = "ALTER ROLE … SET plan_cache_mode = force_generic_plan, and likewise enable_seqscan = off, " +
	"enable_bitmapscan = off, jit = off, lock_timeout = '50ms', statement_timeout = '5s', " +
	"default_transaction_isolation = 'read committed', client_min_messages = warning"

// checkSettings reads the timeouts in force. It warns if a pooler has dropped the session's
// settings, or if the operator's settings answer commits before they are durable.
func (s *session) checkSettings(ctx context.Context) error {
	var hold, unsafe bool
	var statementTimeout, lockTimeout int64
	if err := s.conn.QueryRow(ctx, settingsHoldSQL).Scan(&hold, &unsafe, &statementTimeout, &lockTimeout); err != nil {
		return fmt.Errorf("read the session's settings: %w", err)
	}
	s.lockTimeout = time.Duration(lockTimeout) * time.Millisecond
	s.statementTimeout = statementTimeoutOf(s.options)
	if inForce := time.Duration(statementTimeout) * time.Millisecond; inForce > 0 {
		s.statementTimeout = min(s.statementTimeout, inForce)
	}
	if !hold && due(&s.notices.settings) {
		s.options.Logger.Warn("the database sessions lack settings that recording sales relies on",
			slog.String("remedy", settingsAdvice))
	}
	if unsafe && due(&s.notices.unsafe) {
		s.options.Logger.Warn("sales are confirmed before they are durable: synchronous_commit is off or local",
			slog.String("remedy", "ALTER ROLE … SET synchronous_commit = on"))
	}
	return nil
}

// checkColumns returns postgres.ErrSchema if a view over an adopted table would be misread.
func checkColumns(fields []pgconn.FieldDescription) error {
	switch fields[colLinkCreatedAt].DataTypeOID {
	case pgtype.TimestamptzOID, pgtype.TimestampOID:
		return nil
	}
	return fmt.Errorf("%w: hoko.links.created_at must be a timestamp with time zone", postgres.ErrSchema)
}

// prepareUnblocked calls prepare again while a lock on a table blocks it.
func (s *session) prepareUnblocked(ctx context.Context) error {
	var last error
	for {
		err := s.prepare(ctx)
		switch {
		case blocked(err):
			last = err
			if due(&s.notices.locked) {
				s.options.Logger.Warn("a lock on a table keeps sales from being recorded", slog.Any("error", err))
			}
		case last == nil || ctx.Err() == nil:
			return err
		}
		if !postgres.Pause(ctx, minPause) {
			return last
		}
	}
}

func (s *session) prepare(ctx context.Context) (err error) {
	if err := postgres.CheckSchema(ctx, s.conn, s.options.Logger); err != nil {
		return err
	}
	if err := s.checkSettings(ctx); err != nil {
		return err
	}
	if s.statement == nil {
		s.statement, err = s.prepareStatement(ctx, batchStatement, s.sql)
	}
	if err != nil {
		return fmt.Errorf("prepare the sale statement: %w", explainTypes(postgres.SchemaError(err)))
	}
	if err := checkColumns(s.statement.Fields); err != nil || s.sql != saleSQL {
		return err
	}
	s.single, err = s.prepareStatement(ctx, singleStatement, singleSQL)
	if err != nil {
		return fmt.Errorf("prepare the single-sale statement: %w", explainTypes(postgres.SchemaError(err)))
	}
	return nil
}

// explainTypes names the list of supported column types, if a column's type may have caused err.
func explainTypes(err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch pgErr.Code {
	case pgerrcode.CannotCoerce, pgerrcode.DatatypeMismatch, pgerrcode.UndefinedFunction,
		pgerrcode.IndeterminateCollation:
		return fmt.Errorf("a column has a type that docs/adopting.md does not list: %w", err)
	}
	return err
}

// prepareStatement prepares a statement. It waits at most maxLockTimeout for locks on the tables,
// even if a pooler has dropped the session's lock_timeout.
func (s *session) prepareStatement(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	pipeline := s.conn.PgConn().StartPipeline(ctx)
	pipeline.SendQueryParams(setLockTimeoutSQL, [][]byte{milliseconds(maxLockTimeout)}, nil, nil, nil)
	pipeline.SendPrepare(name, sql, nil)
	if err := pipeline.Sync(); err != nil {
		return nil, errors.Join(err, pipeline.Close())
	}
	var statement *pgconn.StatementDescription
	for {
		switch result, err := pipeline.GetResults(); result := result.(type) {
		case *pgconn.ResultReader:
			result.Read()
		case *pgconn.StatementDescription:
			statement = result
			statement.Name, statement.SQL = name, sql // a pipeline does not set them
		default:
			return statement, errors.Join(err, pipeline.Close())
		}
	}
}

// FullScans returns the scans that are not index probes in the plans of the sale statements.
func FullScans(ctx context.Context, o postgres.Options) ([]postgres.Scan, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	return postgres.FullScans(ctx, o.DSN, sessionSettings(statementTimeoutOf(o)), saleSQL, saleWaitingSQL, singleSQL)
}

// ErrNoClick is returned by Rehearse if no click exists to which it could attribute a sale.
var ErrNoClick = errors.New("there is no click on a link of its workspace")

// ErrColumnTooSmall is returned by Rehearse, with the database's error, if a column or constraint
// rejects a sale with the longest texts and the largest amount that the API accepts.
var ErrColumnTooSmall = errors.New(
	"a sale with the longest texts and the largest amount that the API accepts is rejected")

// Rehearse records sales of a new customer in a transaction and rolls it back: sales that create,
// change and keep the customer, and one as large as the API accepts. It returns ErrNoClick, an
// error that wraps ErrColumnTooSmall, or another error of the database, for example of a trigger or
// constraint.
func Rehearse(ctx context.Context, o postgres.Options) error {
	o, err := o.WithDefaults()
	if err != nil {
		return err
	}
	connector, err := postgres.NewConnector(o.DSN, sessionSettings(statementTimeoutOf(o)))
	if err != nil {
		return err
	}
	s := newSession(&shared{options: o, metrics: newMetrics(nil), ctx: ctx}, connector, saleSQL)
	defer s.drop() // which rolls back
	if err := s.connect(ctx); err != nil {
		return err
	}
	request := &sale.Request{
		CustomerExternalID: "hoko doctor " + rand.Text(), CustomerName: "hoko doctor",
		Currency: "usd", EventName: "hoko doctor",
	}
	var workspace string
	err = s.conn.QueryRow(ctx, `SELECT k.workspace_id, k.id FROM hoko.clicks k
		JOIN hoko.links l ON l.id = k.link_id AND l.workspace_id = k.workspace_id LIMIT 1`).
		Scan(&workspace, &request.ClickID)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoClick
	}
	if err != nil {
		return fmt.Errorf("look for a click: %w", err)
	}
	if _, err := s.conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	for _, name := range []string{"hoko doctor", "changed", "changed"} {
		changed := *request
		changed.CustomerName = name
		if err := s.rehearse(ctx, sale.Sale{WorkspaceID: workspace, Request: &changed}); err != nil {
			return err
		}
	}
	if _, err := s.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil { // deferred to the commit
		return rejected(err)
	}
	if err := s.rehearse(ctx, sale.Sale{WorkspaceID: workspace, Request: largestRequest(request.ClickID)}); err != nil {
		return fmt.Errorf("%w: %w", ErrColumnTooSmall, err)
	}
	return nil
}

// largestRequest returns a request whose members are as large as docs/api.md allows.
func largestRequest(clickID string) *sale.Request {
	fill := func(prefix string, n int) string { return prefix + strings.Repeat("x", n-len(prefix)) }
	email, avatar := strings.Repeat("x", 64)+"@"+strings.Repeat("x.", 93)+"xyz", fill("https://example.com/", 2048)
	return &sale.Request{
		CustomerExternalID: fill(rand.Text(), 100), CustomerName: fill("hoko doctor ", 100), ClickID: clickID,
		CustomerEmail:  sale.Optional{Given: true, Value: &email},
		CustomerAvatar: sale.Optional{Given: true, Value: &avatar},
		Amount:         1<<53 - 1, Currency: "usd", EventName: fill("hoko doctor ", 255),
		Metadata: []byte(`{"n":"` + fill("", 9_000) + `"}`),
	}
}

// rehearse records the sale, sends it again as after a lost connection, and records another with an
// idempotency key.
func (s *session) rehearse(ctx context.Context, rehearsed sale.Sale) error {
	rehearsed.ID = uuid.Must(uuid.NewV7())
	first, err := s.record(ctx, &rehearsed, statusOK)
	if err != nil {
		return err
	}
	if _, err := s.record(ctx, &rehearsed, statusExists); err != nil {
		return fmt.Errorf("hoko.sales does not show a sale as it was just written: %w", err)
	}
	rehearsed.ID, rehearsed.IdempotencyKey = uuid.Must(uuid.NewV7()), rand.Text()
	second, err := s.record(ctx, &rehearsed, statusOK)
	if err != nil {
		return err
	}
	if first.Customer.ID != second.Customer.ID {
		return errors.New("hoko.customers does not show a customer under the ID that was returned for it")
	}
	return nil
}

// record runs the statements for one sale, and returns an error if its status is not want.
func (s *session) record(ctx context.Context, wanted *sale.Sale, want status) (*sale.Recorded, error) {
	var b batch
	sales := []*pendingSale{newPendingSale(wanted, time.Time{})}
	var recorded bool
	var err error
	if want == statusOK && wanted.IdempotencyKey == "" {
		b.encodeSingle(sales)
		recorded, err = s.executeSingle(ctx, &b)
	}
	if !recorded && err == nil {
		b.encode(sales, true)
		err = s.execute(ctx, &b, s.lockTimeout, false)
	}
	if err != nil {
		return nil, rejected(err)
	}
	if got := b.rows[0].status; got != want {
		return nil, fmt.Errorf("the status of a rehearsed sale is %q, want %q", got, want)
	}
	return b.rows[0].recorded, b.rows[0].err
}
