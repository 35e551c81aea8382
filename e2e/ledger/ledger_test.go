package ledger

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

var (
	ledgerSeed     = flag.Uint64("ledger.seed", 0, "run only the schedule of this seed")
	ledgerFaults   = flag.Int("ledger.faults", len(allFaults), "number of faults in a schedule")
	ledgerOnly     = flag.String("ledger.only", "", "inject only faults whose names contain this text")
	ledgerDuration = flag.Duration("ledger.for", 0, "run random schedules for this long")
)

// Clients that keep a journal send sales through three edges while edges, Postgres, Redis and the
// network fail. Afterwards journals and tables must agree.
func TestLedger_AgreesWithTablesWhateverFails(t *testing.T) {
	total := newTotal()
	defer func() { t.Logf("total:\n%s", total) }()
	switch {
	case *ledgerSeed != 0:
		total.run(t, *ledgerSeed)
	case *ledgerDuration > 0:
		for end := time.Now().Add(*ledgerDuration); time.Now().Before(end); {
			total.run(t, rand.Uint64())
		}
	default:
		for seed := range uint64(2) { // each schedule contains every fault; script/soak runs more
			total.run(t, seed+1)
		}
	}
}

func (total *total) run(t *testing.T, seed uint64) {
	t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
		w := newWorld(t)
		w.clients = startClients(w.edges, seed)
		t.Cleanup(func() { w.clients.lost.Store(true); w.clients.stop() })
		run := &run{w: w}
		run.run(newSchedule(seed, *ledgerFaults, *ledgerOnly))
		sales := w.clients.stop()
		w.clients.replay(sales, 200, seed)

		d := w.connect("hoko")
		tables := readTables(d)
		d.Conn.Close(t.Context())
		found := audit(sales, tables)
		for _, discrepancy := range found[:min(len(found), 20)] {
			t.Errorf("discrepancy: %s", discrepancy)
		}
		one := newTotal()
		one.add(run.injections, sales, tables, found)
		total.add(run.injections, sales, tables, found)
		t.Logf("-ledger.seed=%d -ledger.faults=%d -ledger.only=%q\n%s", seed, *ledgerFaults, *ledgerOnly, one)
		one.mustCount(t)
	})
}

// total sums up one run or several.
type total struct {
	runs, sales, rows, replays, unknown, unsent, discrepancies int
	answers                                                    map[int]int    // by status, 0 for none
	injections                                                 map[string]int // by fault
	least                                                      map[string]int // minimum of sales in flight, by fault
	longest                                                    time.Duration  // from request to answer
}

func newTotal() *total {
	return &total{answers: map[int]int{}, injections: map[string]int{}, least: map[string]int{}}
}

func (total *total) add(injections []injection, sales []*sale, tables tables, found []discrepancy) {
	total.runs++
	total.sales += len(sales)
	total.rows += len(tables.sales)
	total.discrepancies += len(found)
	for _, s := range injections {
		fault, inFlight := s.String(), s.inFlight(sales)
		if least, seen := total.least[fault]; !seen || inFlight < least {
			total.least[fault] = inFlight
		}
		total.injections[fault]++
	}
	for _, s := range sales {
		for _, a := range s.tries() {
			total.attempt(a)
		}
	}
}

func (total *total) attempt(a *attempt) {
	total.answers[a.status]++
	if a.unknown() {
		total.unknown++
	}
	if a.unsent {
		total.unsent++
	}
	if a.replied {
		total.replays++
	}
	if a.status != 0 {
		total.longest = max(total.longest, a.end.Sub(a.start))
	}
}

// mustCount fails the test if the run proves nothing.
func (total *total) mustCount(t *testing.T) {
	t.Helper()
	if total.unknown == 0 {
		t.Error("every client knew every outcome")
	}
	for fault, least := range total.least {
		if least == 0 {
			t.Errorf("%s was injected while no sale was in flight", fault)
		}
	}
	if *ledgerOnly == "" && len(total.injections) < len(allFaults) {
		t.Errorf("only %d of %d faults were injected: -ledger.faults is too low", len(total.injections), len(allFaults))
	}
}

func (total *total) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\t%d runs, %d sales attempted, %d recorded, %d replays, %d outcomes unknown, longest answer "+
		"%v, %d discrepancies\n",
		total.runs, total.sales, total.rows, total.replays, total.unknown, total.longest.Round(time.Millisecond),
		total.discrepancies)
	fmt.Fprintf(&text, "\t%8d requests without an answer, %d of them without a connection\n",
		total.answers[0], total.unsent)
	for _, status := range slices.Sorted(maps.Keys(total.answers)) {
		if status == 0 {
			continue
		}
		fmt.Fprintf(&text, "\t%8d answers %d\n", total.answers[status], status)
	}
	for _, fault := range slices.Sorted(maps.Keys(total.injections)) {
		fmt.Fprintf(&text, "\t%8d injections, each with at least %d sales in flight: %s\n", total.injections[fault],
			total.least[fault], fault)
	}
	return text.String()
}
