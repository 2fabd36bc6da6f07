package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

// ErrNotYet means that a server cannot open its streams again yet. Nothing was changed.
var ErrNotYet = errors.New("the streams cannot be opened again yet")

// Recover opens all streams again, after a failed write stopped one of them for good: no
// file descriptor was left, say. Connections stay; requests have no answer until it
// returns. What was acknowledged is on disk and comes back.
//
// It fails with [ErrNotYet] while the process could not open every stream: a server that
// cannot read a block when it starts would count it as lost.
func (s *Server) Recover() error {
	streams, err := s.streamFolders()
	if err != nil {
		return err
	}
	// Two files a stream stay open, and each opens a few more while it is recovered.
	if err := canOpen(s.config.StoreDir, 64+4*len(streams)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotYet, err)
	}
	config := s.config
	config.StoreDir = filepath.Dir(config.StoreDir) // the server appends its own folder again
	if err := s.ShutdownJetStream(); err != nil {
		return fmt.Errorf("failed to close the streams: %w", err)
	}
	if err := s.EnableJetStream(&config); err != nil {
		return fmt.Errorf("failed to open the streams again: %w", err)
	}
	if err := s.stageAgain(); err != nil {
		return err
	}
	if health := s.Healthz(&server.HealthzOptions{}); health.Error != "" { // it names a stream that is on disk alone
		return fmt.Errorf("failed to open the streams again: %s", health.Error)
	}
	return nil
}

// stageAgain is StageIn once more, for the server forgot it.
func (s *Server) stageAgain() error {
	before := s.stage
	if before == "" {
		return nil
	}
	if err := s.StageIn(filepath.Dir(before)); err != nil {
		return err
	}
	if err := os.RemoveAll(before); err != nil {
		return fmt.Errorf("failed to remove staged batches: %w", err)
	}
	return nil
}

// canOpen says whether the process can open n files of dir at once, and write there.
func canOpen(dir string, n int) (err error) {
	open := make([]*os.File, 0, n)
	defer func() {
		for _, f := range open {
			_ = f.Close()
		}
	}()
	probe, err := os.CreateTemp(dir, "roost-probe-*")
	if err != nil {
		return fmt.Errorf("failed to make a file: %w", err)
	}
	defer func() { _ = os.Remove(probe.Name()) }()
	open = append(open, probe)
	if _, err := probe.Write(make([]byte, 4<<10)); err != nil {
		return fmt.Errorf("failed to write a file: %w", err)
	}
	for len(open) < n {
		f, err := os.Open(probe.Name())
		if err != nil {
			return fmt.Errorf("failed to open %d files: %w", n, err)
		}
		open = append(open, f)
	}
	return nil
}
