package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// table is a command table like that of the binary.
type table struct {
	Serve    Serve    `cmd:""`
	Gateway  Gateway  `cmd:""`
	Worker   Worker   `cmd:""`
	Streams  Streams  `cmd:""`
	Config   Config   `cmd:""`
	Bench    Bench    `cmd:""`
	Capacity Capacity `cmd:""`
	Chat     Chat     `cmd:""`
	Version  Version  `cmd:""`
}

// output is where a command writes while a test reads.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// runCommand runs a command in this process and returns what it wrote to stdout.
func runCommand(ctx context.Context, args ...string) (string, error) {
	var out, log output
	err := Run(ctx, new(table), args, Process{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &log, Version: "v1"})
	return out.String(), err
}

func TestRun(t *testing.T) {
	if out, err := runCommand(t.Context(), "version"); err != nil || out != "roost v1\n" {
		t.Errorf("version: %q, %v", out, err)
	}
	if out, err := runCommand(t.Context(), "serve", "--help"); err != nil || !strings.Contains(out, "--data-dir") {
		t.Errorf("--help: %q, %v", out, err)
	}
	if out, err := runCommand(t.Context(), "config", "--max-devices", "7"); err != nil || !strings.Contains(out, "max-devices: 7\n") {
		t.Errorf("config: %q, %v", out, err)
	}
	if out, err := runCommand(t.Context(), "capacity"); err != nil || !strings.Contains(out, "peak 230000/s") {
		t.Errorf("capacity: %q, %v", out, err)
	}
}

// TestUsageError: the error of a command that cannot begin names the setting.
func TestUsageError(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func(args ...string) []string {
		return append([]string{"serve", "--http", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data")}, args...)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "expected"},
		{serve("--bogus"), "--bogus"},
		{serve("--max-devices", "0"), "--max-devices"},
		{serve("--max-group-members", "0"), "--max-group-members"},
		{serve("--group-push-limit", "0"), "--group-push-limit"},
		{serve("--group-push-limit", "8192"), "--group-push-limit"},
		{serve("--full-inbox-idle", "1h"), "--full-inbox-idle"},
		{serve("--reserve-names", "-1h"), "--reserve-names"},
		{serve("--heartbeat", "0s"), "--heartbeat"},
		{serve("--device-max-idle", "1h"), "--device-max-idle"},
		{serve("--tls-cert", file), "--tls-key"},
		{serve("--tls-cert", file, "--tls-key", file), "--tls-cert"},
		{serve("--hsts", "-1s"), "--hsts"},
		{serve("--max-connections", "-1"), "--max-connections"},
		{serve("--proxy-protocol"), "--trusted-proxies"},
		{serve("--trusted-proxies", "proxy.example"), "--trusted-proxies"},
		{serve("--allowed-origins", "null"), "--allowed-origins"},
		{serve("--auth-issuer", "i"), "--auth-jwks"},
		{serve("--sends-per-second=-1"), "limit"},
		{serve("--acme", "example"), "--acme"},
		{serve("--acme", "chat.example.com", "--tls-cert", file, "--tls-key", file), "--acme"},
		{serve("--http", "nowhere"), "--http"},
		{serve("--data-dir", file), "--data-dir"},
		{serve("--nats-listen", "127.0.0.1:0"), "--nats-listen"},
		{[]string{"gateway"}, "--auth-secret"},
		{[]string{"gateway", "--max-devices", "0"}, "--max-devices"},
		{[]string{"gateway", "--http", "127.0.0.1:0", "--auth-secret", file, "--nkey", "/nowhere/key"}, "/nowhere/key"},
		{[]string{"worker"}, "--mongo"},
		{[]string{"worker", "--device-max-idle", "1h"}, "--device-max-idle"},
		{[]string{"worker", "--mongo", "mongodb://127.0.0.1", "--nkey", "/nowhere/key"}, "/nowhere/key"},
		{[]string{"streams", "plan", "--nkey", "/nowhere/key"}, "/nowhere/key"},
		{[]string{"streams", "apply", "--nkey", "/nowhere/key"}, "/nowhere/key"},
		{[]string{"chat", "--user", "g-x"}, "--user"},
		{[]string{"capacity", "--report", "/nowhere/report.json"}, "--report"},
		{[]string{"capacity", "--headroom", "1"}, "headroom"},
		{[]string{"bench", "closed", "--window", "65"}, "--window"},
		{[]string{"bench", "history", "--pairs", "0"}, "--pairs"},
		{[]string{"bench", "closed", "--size", "31"}, "--size"},
		{[]string{"bench", "closed", "--duration", "0s"}, "--duration"},
		{[]string{"bench", "open", "--rate", "0"}, "--rate"},
		{[]string{"bench", "idle", "--devices", "0"}, "--devices"},
		{[]string{"bench", "storm", "--parallel", "0"}, "--parallel"},
		{[]string{"bench", "drain", "--backlog", "0"}, "--backlog"},
		{[]string{"bench", "scale", "--few", "10", "--many", "10"}, "--few"},
		{[]string{"bench", "mixed", "--users", "1"}, "--users"},
		{[]string{"bench", "mixed", "--stay", "0s"}, "--stay"},
		{[]string{"bench", "fanout", "--members", "1"}, "--members"},
		{[]string{"bench", "raw", "--batch", "1"}, "--batch"},
		{[]string{"bench", "raw", "--batch", "2", "--as-inbox"}, "--as-inbox"},
		{[]string{"bench", "steady", "--duration", "10s", "--sample", "2s"}, "--duration"},
		{[]string{"bench", "steady", "--senders", "0"}, "--senders"},
		{[]string{"bench", "steady", "--kill", "--url", "http://127.0.0.1:1", "--token-key", "x"}, "--kill"},
		{[]string{"bench", "all", "--url", "http://127.0.0.1:1", "--token-key", "x"}, "--url"},
		{[]string{"bench", "all", "--few", "1"}, "--few"},
		{[]string{"bench", "closed", "--pid", "1"}, "--pid"},
		{[]string{"bench", "closed", "--url", "http://127.0.0.1:1", "--token-key", "/nowhere/key"}, "/nowhere/key"},
	} {
		out, err := runCommand(t.Context(), c.args...)
		var usage *UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.says) || out != "" {
			t.Errorf("%v: %v\n%s", c.args, err, out)
		}
	}
}

// TestServe runs the server and a load within this process, and stops them.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var log output
	finished := make(chan error, 1)
	go func() {
		finished <- Run(ctx, new(table), []string{"serve", "--data-dir", dir, "--http", "127.0.0.1:0", "--limits", "off", "--min-free-disk", "0"},
			Process{Stdin: strings.NewReader(""), Stdout: &log, Stderr: &log})
	}()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	var url string
	for deadline := time.Now().Add(30 * time.Second); url == ""; {
		if found := regexp.MustCompile(`url=(http://\S+)`).FindStringSubmatch(log.String()); found != nil {
			url = found[1]
		}
		select {
		case err := <-finished:
			t.Fatalf("serve: %v\n%s", err, log.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve:\n%s", log.String())
		}
	}
	for _, args := range [][]string{{"closed", "--pairs", "2", "--window", "4"}, {"open", "--pairs", "2", "--rate", "50"}} {
		report := filepath.Join(t.TempDir(), "reports", "report.json")
		args = append([]string{"bench"}, append(args, "--url", url, "--token-key", filepath.Join(dir, "token.key"),
			"--pid", fmt.Sprint(os.Getpid()), "--duration", "200ms", "--warmup", "50ms", "--json", report)...)
		if out, err := runCommand(ctx, args...); err != nil || !strings.Contains(out, "0 missing, 0 duplicate, 0 corrupt") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
		if out, err := runCommand(ctx, "capacity", "--report", report); err != nil || !strings.Contains(out, "peak") {
			t.Errorf("capacity: %v\n%s", err, out)
		}
	}
	if out, err := runCommand(ctx, "serve", "--http", "127.0.0.1:0", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "another --data-dir") {
		t.Errorf("a second process on the directory: %v\n%s", err, out)
	}
	cancel()
	if err := <-finished; err != nil {
		t.Errorf("serve: %v\n%s", err, log.String())
	}
}
