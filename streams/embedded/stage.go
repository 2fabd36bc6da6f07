package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// stagePrefix begins the name of every folder that batches are staged in.
const stagePrefix = "roost-batches-"

// StageIn has the server stage atomic batches in a folder of its own below dir,
// which shall be in memory (/dev/shm). A server alone writes every batch to a new
// file store in <stream>/batches before it commits it, and creating one on disk
// costs more than the batch: docs/performance.md has the figures. Only the
// staging is there. The commit goes to the stream on disk and is synced before it
// is acknowledged. A power failure can lose only the staged half of a batch without an
// answer: some of its entries are stored then and others are not, like those of single
// publishes. A retry is deduplicated by their ids.
//
// Call it once the streams exist and before anything is committed; the server
// forgets it when it starts. Stop removes the folder.
func (s *Server) StageIn(dir string) error {
	streams, err := s.streamFolders()
	if err != nil {
		return err
	}
	stage, err := os.MkdirTemp(dir, stagePrefix)
	if err != nil {
		return fmt.Errorf("failed to stage batches in %s: %w", dir, err)
	}
	s.stage = stage
	for _, folder := range streams {
		target := filepath.Join(stage, filepath.Base(folder))
		if err := os.Mkdir(target, 0o700); err != nil {
			return fmt.Errorf("failed to stage batches in %s: %w", dir, err)
		}
		link := filepath.Join(folder, "batches")
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("failed to move the staging of batches: %w", err) // not empty: in use
		}
		if err := os.Symlink(target, link); err != nil {
			return fmt.Errorf("failed to move the staging of batches: %w", err)
		}
	}
	return nil
}

// streamFolders are the server's folders of streams, one each.
func (s *Server) streamFolders() ([]string, error) {
	return filepath.Glob(filepath.Join(s.config.StoreDir, "*", "streams", "*"))
}

// staged are the folders that a server on storeDir staged batches in and left
// behind when it was killed. The next one recovers from them, once.
func staged(storeDir string) []string {
	links, _ := filepath.Glob(filepath.Join(storeDir, "jetstream", "*", "streams", "*", "batches")) // fails for a bad pattern alone
	var folders []string
	for _, link := range links {
		target, err := os.Readlink(link)
		if stage := filepath.Dir(target); err == nil && strings.HasPrefix(filepath.Base(stage), stagePrefix) {
			folders = append(folders, stage)
		}
	}
	return folders
}

func removeAll(folders []string) error {
	var errs []error
	for _, folder := range folders {
		errs = append(errs, os.RemoveAll(folder))
	}
	return errors.Join(errs...)
}
