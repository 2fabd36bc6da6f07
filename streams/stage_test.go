package streams_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/streamstest"
)

// stageOf is the folder that a server on dir stages the batches of INBOX_0 in, or
// "" for one on its disk.
func stageOf(t *testing.T, dir string) string {
	t.Helper()
	links, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "INBOX_0", "batches"))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			return target
		}
	}
	return ""
}

func staging(t *testing.T, dir, memory string) (*embedded.Server, *streams.Conn, streams.Committer) {
	t.Helper()
	s := streamstest.Server(t, dir)
	c := streamstest.Connect(t, s, onePartition())
	if err := s.StageIn(memory); err != nil {
		t.Fatal(err)
	}
	return s, c, committer(t, c, "INBOX_0")
}

// commitBatch commits more than goes one by one, and says whether it went as one
// batch.
func commitBatch(t *testing.T, c *streams.Conn, w streams.Committer, prefix string) (asBatch bool) {
	t.Helper()
	got := outcomes(t, w, entries(3*streams.Singles, "alice.d", prefix)...)
	for i, o := range got {
		if o.Err != nil || o.Duplicate || o.Sequence != got[0].Sequence+uint64(i) {
			t.Fatalf("entry %d: %+v", i, o)
		}
	}
	return batchOf(t, c, got[0].Sequence) != ""
}

// The folder is where batches go, and another one after each start.
func TestStagedInMemory(t *testing.T) {
	dir, memory := t.TempDir(), t.TempDir()
	s, c, w := staging(t, dir, memory)
	stage := stageOf(t, dir)
	if info, err := os.Stat(filepath.Dir(stage)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can read what is staged: %v, %v", info.Mode(), err)
	}
	if err := os.Chtimes(stage, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if !commitBatch(t, c, w, "a") {
		t.Error("no batch")
	}
	if info, err := os.Stat(stage); err != nil || info.ModTime().Equal(time.Unix(1, 0)) {
		t.Errorf("the batch was not staged there: %v", err)
	}
	c.Close()
	s.Shutdown() // not Stop: as if it had been killed
	s.WaitForShutdown()
	if _, err := os.Stat(stage); err != nil {
		t.Error(err)
	}

	s, c, w = staging(t, dir, memory)
	if again := stageOf(t, dir); again == stage || again == "" {
		t.Errorf("staged in %q again, before %q", again, stage)
	}
	if !commitBatch(t, c, w, "b") {
		t.Error("no batch after a start")
	}
	c.Close()
	s.Stop()
	if left, err := os.ReadDir(memory); err != nil || len(left) > 0 {
		t.Errorf("left in memory: %v, %v", left, err)
	}

	s = streamstest.Server(t, dir) // on disk, over links that lead nowhere
	c = streamstest.Connect(t, s, onePartition())
	if !commitBatch(t, c, committer(t, c, "INBOX_0"), "c") || stageOf(t, dir) != "" {
		t.Errorf("staged in %q after all", stageOf(t, dir))
	}
}

// Memory that is gone or full costs the batch, not its entries.
func TestStageLost(t *testing.T) {
	dir, memory := t.TempDir(), t.TempDir()
	_, c, w := staging(t, dir, memory)
	if err := os.RemoveAll(filepath.Dir(stageOf(t, dir))); err != nil {
		t.Fatal(err)
	}
	if commitBatch(t, c, w, "a") {
		t.Error("a batch without a place to stage it")
	}
}

func TestStageNowhere(t *testing.T) {
	s := streamstest.Server(t, t.TempDir())
	if err := s.StageIn(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("staged in a folder that is not there")
	}
}
