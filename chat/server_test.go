package chat

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roost/client"
	"roost/gateway"
	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
	"roost/workers"
	"roost/workers/sqlite"
)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// chatHouse is a whole server in the process: a gateway, the workers and history.
type chatHouse struct {
	t       *testing.T
	URL     string
	handler http.Handler

	listener *breakable
	http     *http.Server
	served   chan struct{} // closed once http has ended
}

// breakable is a listener that can end the connections that it gave out.
type breakable struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func (b *breakable) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.open = append(b.open, c)
	}
	return c, err
}

func (b *breakable) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.open {
		_ = c.Close()
	}
}

func chatServer(t *testing.T, change ...func(*gateway.Options)) *chatHouse {
	t.Helper()
	nats := streamstest.Server(t, t.TempDir())
	conn := streamstest.Connect(t, nats, streams.Topology{}, func(o *streams.Options) { o.SingleProcess = true })
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	finished := make(chan error, 1)
	go func() {
		finished <- workers.Run(ctx, workers.Options{Streams: conn, Store: store, Log: streamstest.Log(t)})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-finished; err != nil {
			t.Errorf("the workers: %v", err)
		}
	})
	tokens, err := auth.NewTokens(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	o := gateway.Options{Streams: conn, Auth: tokens, Accounts: auth.NewAccounts(tokens), Log: streamstest.Log(t)}
	for _, c := range change {
		c(&o)
	}
	g := gateway.New(o)
	if err := g.Start(ctx); err != nil {
		t.Fatal(err)
	}
	h := &chatHouse{t: t, handler: g.Handler()}
	t.Cleanup(func() {
		h.stop()
		ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
		defer cancel()
		g.Drain(ctx)
	})
	h.start("127.0.0.1:0")
	return h
}

// start serves at an address.
func (h *chatHouse) start(address string) {
	h.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.listener, h.http, h.served = &breakable{Listener: l}, &http.Server{Handler: h.handler, ReadHeaderTimeout: time.Minute}, make(chan struct{})
	go func() {
		defer close(h.served)
		_ = h.http.Serve(h.listener)
	}()
	h.URL = "http://" + l.Addr().String()
}

// stop ends every connection, and takes no new one.
func (h *chatHouse) stop() {
	_ = h.http.Close()
	h.listener.cut()
	<-h.served
}

// Break is stop, and start at the same address.
func (h *chatHouse) Break() {
	h.t.Helper()
	h.stop()
	h.start(h.address())
}

func (h *chatHouse) address() string { return h.listener.Addr().String() }

// Account makes an account.
func (h *chatHouse) Account(name, password string) {
	h.t.Helper()
	api := client.API{URL: h.URL}
	if _, err := api.Register(h.t.Context(), schemas.UserID(name), password); err != nil {
		h.t.Fatal(err)
	}
}
