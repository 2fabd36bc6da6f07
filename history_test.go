package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"roost/client"
	"roost/gateway"
	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
	"roost/workers"
	"roost/workers/sqlite"
)

// switchedStore is a history store that can be away, or slow.
type switchedStore struct {
	workers.Store
	down atomic.Bool
	slow atomic.Bool
}

var errDown = errors.New("the store is away")

func (s *switchedStore) Append(ctx context.Context, m []schemas.Message) error {
	if s.down.Load() {
		return errDown
	}
	if s.slow.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.Append(ctx, m)
}

func (s *switchedStore) Page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) ([]schemas.Message, error) {
	if s.down.Load() {
		return nil, errDown
	}
	return s.Store.Page(ctx, chat, since, upTo, limit)
}

func (s *switchedStore) Ping(ctx context.Context) error {
	if s.down.Load() {
		return errDown
	}
	return s.Store.Ping(ctx)
}

// TestHistoryDown has the store of `roost serve` go away and come back, and then
// be slow: messages flow on, readyz says so, and the mirror catches up.
func TestHistoryDown(t *testing.T) {
	dir := t.TempDir()
	conn := streamstest.Connect(t, streamstest.Server(t, filepath.Join(dir, "nats")), streams.Topology{})
	db, err := sqlite.Open(filepath.Join(dir, "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store := &switchedStore{Store: db}
	registry := prometheus.NewRegistry()
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() {
		stopped <- workers.Run(ctx, workers.Options{Streams: conn, Store: store, Registry: registry, Log: streamstest.Log(t)})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	secret, err := auth.LoadSecret(filepath.Join(dir, "token.key"))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.NewTokens(secret)
	if err != nil {
		t.Fatal(err)
	}
	g := gateway.New(gateway.Options{Streams: conn, Auth: tokens, Accounts: auth.NewAccounts(tokens),
		Registry: registry, Log: streamstest.Log(t)})
	if err := g.Start(ctx); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(g.Handler())
	t.Cleanup(func() {
		web.Close()
		g.Drain(context.Background())
	})
	s := &server{t: t, url: web.URL}
	alice, bob := join(t, s, dir, "alice"), join(t, s, dir, "bob")
	t.Cleanup(func() { closeAll([]*client.Client{alice, bob}) })
	api := client.API{URL: s.url, Token: token(t, dir, "alice")}
	keep := schemas.HistoryDays
	if _, err := api.ChangeSettings(ctx, schemas.SettingsChange{HistoryStorage: &keep}); err != nil {
		t.Fatal(err)
	}
	exchange := func(content string) {
		t.Helper()
		accepted := send(t, alice, "bob", content)
		if m := next[client.Message](t, bob); m.MessageID != accepted.MessageID || m.Ack() != nil {
			t.Errorf("got %+v", m)
		}
	}
	history := func() []string {
		t.Helper()
		status, body := s.get("/history/bob", api.Token)
		var a schemas.Answer
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 {
			return []string{a.Error.Message}
		}
		page, err := schemas.Decode[[]schemas.HistoryMessage](a.Data)
		if err != nil {
			t.Fatal(err)
		}
		var contents []string
		for _, m := range page {
			contents = append(contents, m.Content)
		}
		return contents
	}
	wantHistory := func(want ...string) {
		t.Helper()
		eventually(t, "history", func() bool {
			got := history()
			if len(got) != len(want) {
				return false
			}
			for i := range got {
				if got[i] != want[i] {
					return false
				}
			}
			return true
		})
	}
	exchange("1")
	wantHistory("1")
	if status, r := s.ready(); status != 200 || len(r.Degraded) != 0 {
		t.Errorf("with the store: %d %+v", status, r)
	}

	store.down.Store(true)
	exchange("2")
	exchange("3")
	if status, r := s.ready(); status != 200 || !r.Ready || r.Degraded["history"] == "" {
		t.Errorf("without the store: %d %+v", status, r)
	}
	if got := history(); len(got) != 1 || got[0] == "1" {
		t.Errorf("history without the store: %v", got)
	}
	store.down.Store(false)
	wantHistory("3", "2", "1")

	store.slow.Store(true)
	exchange("4")
	store.slow.Store(false)
	wantHistory("4", "3", "2", "1")
}
