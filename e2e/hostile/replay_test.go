package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// eavesdropper relays between a client and an edge, and records what the client sends.
type eavesdropper struct {
	net.PacketConn
	edge   net.Addr
	mu     sync.Mutex
	flight [][]byte
	silent chan struct{} // while it is open, the client receives nothing
}

func eavesdrop(t testing.TB, e *harness.Edge) *eavesdropper {
	t.Helper()
	server, err := net.ResolveUDPAddr("udp", e.Address())
	testenv.NoError(t, err)
	front, back := listenUDP(t), listenUDP(t)
	v := &eavesdropper{PacketConn: front, edge: server, silent: make(chan struct{})}
	var client net.Addr
	pump(front, func(datagram []byte, from net.Addr) {
		v.mu.Lock()
		defer v.mu.Unlock()
		client, v.flight = from, append(v.flight, bytes.Clone(datagram))
		back.WriteTo(datagram, server)
	})
	pump(back, func(datagram []byte, _ net.Addr) {
		<-v.silent
		v.mu.Lock()
		defer v.mu.Unlock()
		front.WriteTo(datagram, client)
	})
	return v
}

func listenUDP(t testing.TB) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	testenv.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func pump(conn net.PacketConn, take func([]byte, net.Addr)) {
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			take(buffer[:n], from)
		}
	}()
}

// replay repeats the recording from another port until holds reports true. The edge processes it
// only after it has forgotten the connection that the previous replay started.
func (v *eavesdropper) replay(t testing.TB, what string, holds func(port string) bool) {
	t.Helper()
	conn := listenUDP(t)
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	v.mu.Lock()
	defer v.mu.Unlock()
	testenv.Until(t, what, func() bool {
		for _, datagram := range v.flight {
			if _, err := conn.WriteTo(datagram, v.edge); err != nil {
				t.Fatal(err)
			}
		}
		return holds(port)
	})
}

// tickets is a session cache that closes stored when a session can be resumed.
type tickets struct {
	tls.ClientSessionCache
	once   sync.Once
	stored chan struct{}
}

func newTickets() *tickets {
	return &tickets{ClientSessionCache: tls.NewLRUClientSessionCache(1), stored: make(chan struct{})}
}

func (s *tickets) Put(key string, state *tls.ClientSessionState) {
	s.ClientSessionCache.Put(key, state)
	if state != nil {
		s.once.Do(func() { close(s.stored) })
	}
}

// sellEarly sends a sale in the first packets of a connection, before the handshake if the session
// allows that. attempt marks it in the log, which has the status. sent is called after the request.
func sellEarly(
	t testing.TB, e *harness.Edge, address string, sessions tls.ClientSessionCache, attempt string, sent func(),
) (status string, early bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.HangGuard)
	defer cancel()
	config := e.TLS(t)
	config.NextProtos, config.ClientSessionCache = []string{http3.NextProtoH3}, sessions
	conn, err := quic.DialAddrEarly(ctx, address, config, nil)
	testenv.NoError(t, err)
	defer conn.CloseWithError(0, "")
	control, err := conn.OpenUniStreamSync(ctx)
	testenv.NoError(t, err)
	control.Write(append([]byte{0}, h3Frame(4, nil)...)) // empty SETTINGS
	stream, err := conn.OpenStreamSync(ctx)
	testenv.NoError(t, err)
	uri := "/api/track/sale?" + attempt
	head := qpackLiterals(append(harness.Post(uri), "authorization", harness.FullKey))
	stream.Write(append(h3Frame(1, head), h3Frame(0, []byte(harness.ValidSale))...))
	stream.Close()
	sent()
	if _, err := io.ReadAll(stream); err != nil {
		t.Fatal(err)
	}
	s := `"uri":"` + uri + `"`
	e.Log.Wait(t, s, `"status":`)
	for line := range strings.Lines(e.Log.String()) {
		_, after, found := strings.Cut(line, `"status":`)
		if found && strings.Contains(line, s) && strings.Contains(line, "handled request") {
			return after[:3], conn.ConnectionState().Used0RTT
		}
	}
	return "", false
}

// h3Frame returns an HTTP/3 frame (RFC 9114, section 7.1).
func h3Frame(kind uint64, payload []byte) []byte {
	return append(quicvarint.Append(quicvarint.Append(nil, kind), uint64(len(payload))), payload...)
}

// qpackLiterals encodes fields without a table (RFC 9204, section 4.5.6).
func qpackLiterals(fs harness.Fields) []byte {
	block := []byte{0, 0}
	for i, text := range fs {
		first, most := byte(0x20), 7 // a name
		if i%2 == 1 {
			first, most = 0, 127 // a value
		}
		if len(text) < most {
			block = append(block, first|byte(len(text)))
		} else {
			block = append(block, first|byte(most), byte(len(text)-most)) // the rest must be less than 128
		}
		block = append(block, text...)
	}
	return block
}

func TestReplayedHandshake_RecordsNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(string) string
		early bool
	}{
		{"as shipped", nil, false},
		{"with early data allowed", harness.Replace("\t\t0rtt off\n", ""), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := harness.StartStack(t, c.edit)
			sessions := newTickets()
			if status, _ := sellEarly(t, s.Edge, s.Address(), sessions, "first", func() {}); status != "201" {
				t.Fatalf("status %s", status)
			}
			select {
			case <-sessions.stored:
			case <-time.After(harness.HangGuard):
				t.Fatal("no session can be resumed")
			}
			spy, want := eavesdrop(t, s.Edge), "201"
			sent := func() {}
			if c.early { // the edge decides before the client can complete the handshake
				want, sent = "425", func() {
					s.Log.Wait(t, "/api/track/sale?second", `"status":`)
					close(spy.silent)
				}
			} else {
				close(spy.silent)
			}
			status, early := sellEarly(t, s.Edge, spy.LocalAddr().String(), sessions, "second", sent)
			if early != c.early || status != want {
				t.Fatalf("status %s, want %s; early data was accepted: %v", status, want, early)
			}
			sales := s.DB.Sales()
			for range 2 {
				times := 0
				spy.replay(t, "the edge has rejected the replay", func(port string) bool {
					if times++; !c.early {
						return times > 20 // without early data, the edge sees no request
					}
					return s.Log.HasLine(`"remote_port":"`+port+`"`, `"status":425`)
				})
			}
			harness.WantStatus(t, s.Sell(t, s.Client(t, "HTTP/3.0"), harness.ValidSale), 201)
			if n := s.DB.Sales(); n != sales+1 {
				t.Errorf("%d sales before, %d after", sales, n)
			}
		})
	}
}

func TestEarlyDataHeader_Is425(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		for _, value := range []string{"1", "0", " 1 ", "true", ""} {
			harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale, "Early-Data", value), 425, harness.Body425)
		}
		harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale, "Early-Data", "0", "Early-Data", "1"), 425,
			harness.Body425)
		// Caddy drops header names with an underscore.
		harness.WantStatus(t, s.Sell(t, c, harness.ValidSale, "Early_Data", "1"), 201)
	})
	if !strings.Contains(s.Log.String(), `"cause":"early_data"`) {
		t.Error("the cause is not logged")
	}
}
