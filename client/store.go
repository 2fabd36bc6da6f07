package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"roost/schemas"
)

// State is the state of a device that must survive the client's process. It is small: it has
// at most a window of sends and seenLimit ids.
type State struct {
	DeviceID schemas.DeviceID `json:"device_id,omitempty"`

	// Cursor is the position up to which the application has acknowledged everything.
	Cursor schemas.Cursor `json:"cursor,omitempty"`

	// LastSend is the newest number of a send. Outstanding are the unanswered sends, by
	// number.
	LastSend    schemas.ClientMessageID `json:"last_send,omitempty"`
	Outstanding []Outgoing              `json:"outstanding,omitempty"`

	// Seen are the last acknowledged messages, oldest first. With them the client
	// recognises redeliveries.
	Seen []Seen `json:"seen,omitempty"`
}

// Outgoing is a send. If Change is set it is an update, otherwise a message. Its fields are
// those of [schemas.SendMessage] and [schemas.UpdateMessage].
type Outgoing struct {
	ReceiverID        schemas.UserID          `json:"receiver_id,omitempty"`
	GroupID           schemas.GroupID         `json:"group_id,omitempty"`
	Content           string                  `json:"content"`
	MessageIDByClient schemas.ClientMessageID `json:"message_id_by_client"`
	Timestamp         schemas.Timestamp       `json:"timestamp"`
	ReplyTo           schemas.MessageID       `json:"reply_to,omitempty"`
	Change            schemas.MessageChange   `json:"change,omitempty"`
	TargetMessageID   schemas.MessageID       `json:"target_message_id,omitempty"`
}

// frame returns the frame of the send.
func (o *Outgoing) frame() schemas.Send {
	if o.Change != "" {
		return &schemas.UpdateMessage{ReceiverID: o.ReceiverID, GroupID: o.GroupID, TargetMessageID: o.TargetMessageID,
			Change: o.Change, Content: o.Content, MessageIDByClient: o.MessageIDByClient, Timestamp: o.Timestamp}
	}
	return &schemas.SendMessage{ReceiverID: o.ReceiverID, GroupID: o.GroupID, Content: o.Content,
		MessageIDByClient: o.MessageIDByClient, Timestamp: o.Timestamp, ReplyTo: o.ReplyTo}
}

// Seen identifies a message by its id, and by its sender's device and number.
type Seen struct {
	MessageID         schemas.MessageID       `json:"message_id,omitempty"`
	SenderDeviceID    schemas.DeviceID        `json:"sender_device_id,omitempty"`
	MessageIDByClient schemas.ClientMessageID `json:"message_id_by_client,omitempty"`
}

// Store keeps a State. A client calls it from one goroutine at a time. It saves before it
// writes a send, at each Ack, and at its end. Concurrent calls of Send and Ack share one
// Save.
type Store interface {
	// Load returns the last saved State, or an empty one if there is none. After an
	// error the client does not start: with an empty State it would register another
	// device by mistake.
	Load() (State, error)

	// Save replaces the whole State, atomically and durably: after a crash during
	// Save, Load returns the old State or the new one. The store may keep the slices.
	// After an error, the waiting Send or Ack fails.
	Save(State) error
}

var (
	_ Store = (*MemoryStore)(nil)
	_ Store = FileStore("")
)

// MemoryStore keeps a State in memory, for tests and for clients that reconnect within one
// process. The zero value is empty.
type MemoryStore struct {
	mu    sync.Mutex
	state State
}

// Load returns a copy of the state.
func (s *MemoryStore) Load() (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	state.Outstanding = slices.Clone(state.Outstanding)
	state.Seen = slices.Clone(state.Seen)
	return state, nil
}

// Save keeps state.
func (s *MemoryStore) Save(state State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	return nil
}

// FileStore keeps a State as JSON in the file of that name. Only its owner can read the file,
// because it has the content of outstanding messages. Each Save writes and syncs the whole
// file, which takes a few milliseconds. An application that receives hundreds of messages a
// second needs another store.
type FileStore string

// Load reads the file. If the file does not exist, the State is empty. A damaged file is an
// error.
func (f FileStore) Load() (State, error) {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("failed to read the client's state: %w", err)
	}
	var state State
	if err := json.Unmarshal(data, &state); err != nil {
		return State{}, fmt.Errorf("the client's state in %s is damaged: %w", string(f), err)
	}
	return state, nil
}

// Save writes a new file beside the old one and renames it.
func (f FileStore) Save(state State) (err error) {
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("failed to encode the client's state: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("failed to write the client's state: %w", err)
		}
	}()
	dir := filepath.Dir(string(f))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, filepath.Base(string(f))+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it fails after the rename, which is harmless
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), string(f)); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // some systems cannot sync a directory; the file itself is synced
		_ = d.Close()
	}
	return nil
}

// journal saves the state of a client, one Save at a time. Callers that arrive during a Save
// share the next one.
type journal struct {
	store Store // nil: none

	mu     sync.Mutex
	saved  uint64 // the version of the state that the store has
	sealed bool   // after the last save the application may use the store
}

// save returns after the store has the state of at least that version. snapshot returns the
// newest state and its version.
func (j *journal) save(version uint64, snapshot func() (State, uint64)) error {
	if j.store == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.saved >= version {
		return nil
	}
	if j.sealed {
		return ErrClosed
	}
	state, newest := snapshot()
	if err := j.store.Save(state); err != nil {
		return err
	}
	j.saved = newest
	return nil
}

func (j *journal) seal() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sealed = true
}
