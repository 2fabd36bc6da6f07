package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// quick are the flags of a run that only shows that it works.
func quick(args ...string) []string {
	return append(append([]string{"bench"}, args...), "--duration", "300ms", "--warmup", "100ms", "--serve-args=--min-free-disk 0")
}

// TestBench runs scenarios with the processes that they start, and leaves nothing.
func TestBench(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"closed": {quick("closed", "--pairs", "2", "--window", "4"), "0 missing, 0 duplicate, 0 corrupt"},
		"idle":   {quick("idle", "--devices", "20", "--settle", "10ms"), "resident memory per connection"},
		"scale":  {quick("scale", "--few", "4", "--many", "30", "--rate", "100"), "ratio"},
		"raw":    {quick("raw", "--batch", "16"), "acknowledged publishes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data := filepath.Join(dir, "data")
			report, page := filepath.Join(dir, "report.json"), filepath.Join(dir, "report.html")
			stdout, stderr, code := output(t, roost(t, append(c.args, "--data-dir", data, "--json", report, "--html", page)...))
			if code != exitOK || !strings.Contains(stdout, c.says) {
				t.Fatalf("it ended with %d:\n%s\n%s", code, stdout, stderr)
			}
			for _, path := range []string{report, page} {
				if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), c.says) && path == report && name != "closed" {
					t.Errorf("%s: %v", path, err)
				}
			}
			if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
				t.Errorf("the data directory holds %v, %v", left, err)
			}
		})
	}
}

// TestBenchSteady runs steady loads for moments: against one server, and against a
// cluster that is killed at the end. So short a load may be judged either way.
func TestBenchSteady(t *testing.T) {
	for name, args := range map[string][]string{
		"serve":   {"--serve-args=--min-free-disk 0"},
		"cluster": {"--cluster", "--kill"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data, report := filepath.Join(dir, "data"), filepath.Join(dir, "report.json")
			args := append([]string{"bench", "steady", "--rate", "50", "--receivers", "6", "--senders", "2", "--warmup", "100ms",
				"--duration", "2s", "--sample", "200ms", "--data-dir", data, "--json", report}, args...)
			stdout, stderr, code := output(t, roost(t, args...))
			flat := strings.Contains(stdout, "\n  flat, by readings after a warm-up of 0.1 s")
			if !flat && !strings.Contains(stdout, "\n  not flat, by readings after a warm-up of 0.1 s") {
				t.Fatalf("there is no verdict:\n%s\n%s", stdout, stderr)
			}
			if flat != (code == exitOK) || !flat && code != exitFault {
				t.Errorf("it ended with %d:\n%s\n%s", code, stdout, stderr)
			}
			for _, want := range []string{"0 missing, 0 duplicate, 0 corrupt", "redelivered acknowledged entries", "messages in INBOX"} {
				if !strings.Contains(stdout, want) {
					t.Errorf("it does not say %q:\n%s", want, stdout)
				}
			}
			if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
				t.Errorf("the data directory holds %v, %v", left, err)
			}
		})
	}
}

// TestBenchInterrupted: a signal ends the run, the server that it started, and the
// server's data.
func TestBenchInterrupted(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	cmd := roost(t, "bench", "closed", "--pairs", "1", "--duration", "1h", "--data-dir", data)
	exited := make(chan struct{})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(exited)
		_ = cmd.Wait() // the exit code is in ProcessState
	}()
	eventually(t, "the server's data", func() bool {
		keys, err := filepath.Glob(filepath.Join(data, "*", "token.key"))
		return err == nil && len(keys) > 0
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-exited:
	case <-time.After(timeout):
		_ = cmd.Process.Kill()
		t.Fatal("it does not end")
	}
	if code := cmd.ProcessState.ExitCode(); code != exitFault {
		t.Errorf("it ended with %d", code)
	}
	if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
		t.Errorf("the data directory holds %v, %v", left, err)
	}
}

// TestBenchFlags: flags that cannot be are one line and exit code 2.
func TestBenchFlags(t *testing.T) {
	for _, args := range [][]string{
		{"bench", "closed", "--window", "65"},
		{"bench", "closed", "--size", "31"},
		{"bench", "open", "--rate", "0"},
		{"bench", "--url", "http://127.0.0.1:1", "--token-key", "x"},
		{"bench", "closed", "--url", "http://127.0.0.1:1"},
		{"bench", "closed", "--pid", "1"},
		{"bench", "raw", "--batch", "1"},
		{"bench", "scale", "--few", "10", "--many", "10"},
		{"bench", "steady", "--duration", "10s", "--sample", "2s"},
		{"bench", "steady", "--senders", "0"},
		{"bench", "steady", "--kill", "--url", "http://127.0.0.1:1", "--token-key", "x"},
		{"bench", "nonsense"},
		{"capacity", "--headroom", "1"},
		{"capacity", "--report", "/nowhere"},
	} {
		stdout, stderr, code := output(t, roost(t, args...))
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: %d\n%s%s", args, code, stdout, stderr)
		}
	}
}

// TestCapacityCommand prints a column for each load.
func TestCapacityCommand(t *testing.T) {
	stdout, stderr, code := output(t, roost(t, "capacity"))
	if code != exitOK || stderr != "" {
		t.Fatalf("it ended with %d: %s", code, stderr)
	}
	for _, want := range []string{"2,000,000,000", "5,000,000,000", "peak 230000/s", "10 (processors)"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, stdout)
		}
	}
}
