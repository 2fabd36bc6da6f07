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

// State is what of a device must survive the client's process. It is small: at
// most a window of sends and seenLimit ids.
type State struct {
	DeviceID schemas.DeviceID `json:"device_id,omitempty"`

	// Cursor: the application has acknowledged everything up to here.
	Cursor schemas.Cursor `json:"cursor,omitempty"`

	// LastSend is the newest number given to a send; Outstanding are the sends
	// without answer, by number.
	LastSend    schemas.ClientMessageID `json:"last_send,omitempty"`
	Outstanding []Outgoing              `json:"outstanding,omitempty"`

	// Seen are the messages acknowledged last, oldest first, by which repeats
	// are known.
	Seen []Seen `json:"seen,omitempty"`
}

// Outgoing is a send: a message, or an update where Change is set. Its fields are those
// of [schemas.SendMessage] and [schemas.UpdateMessage].
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

// frame is what is written.
func (o *Outgoing) frame() schemas.Send {
	if o.Change != "" {
		return &schemas.UpdateMessage{ReceiverID: o.ReceiverID, GroupID: o.GroupID, TargetMessageID: o.TargetMessageID,
			Change: o.Change, Content: o.Content, MessageIDByClient: o.MessageIDByClient, Timestamp: o.Timestamp}
	}
	return &schemas.SendMessage{ReceiverID: o.ReceiverID, GroupID: o.GroupID, Content: o.Content,
		MessageIDByClient: o.MessageIDByClient, Timestamp: o.Timestamp, ReplyTo: o.ReplyTo}
}

// Seen names a message by both its names.
type Seen struct {
	MessageID         schemas.MessageID       `json:"message_id,omitempty"`
	SenderDeviceID    schemas.DeviceID        `json:"sender_device_id,omitempty"`
	MessageIDByClient schemas.ClientMessageID `json:"message_id_by_client,omitempty"`
}

// Store keeps a State. A client calls it from one goroutine at a time, and saves
// before a send is written, at each Ack, and when it ends; calls that coincide
// share one Save.
type Store interface {
	// Load gives the State saved last, or an empty one where there is none. An
	// error keeps the client from starting: to start with an empty State by
	// mistake would register another device.
	Load() (State, error)

	// Save replaces the whole State, durably and at once: a Load afterwards,
	// also after a crash in the midst of Save, gives the old or the new one.
	// The slices are the store's to keep. An error fails the Send or Ack that
	// waits for it.
	Save(State) error
}

var (
	_ Store = (*MemoryStore)(nil)
	_ Store = FileStore("")
)

// MemoryStore keeps a State as long as the process lives: for tests, and for
// clients that are closed and connected again. The zero value is empty.
type MemoryStore struct {
	mu    sync.Mutex
	state State
}

// Load gives a copy of the state.
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

// FileStore keeps a State in the file of that name, as JSON that only its owner
// can read: outstanding messages stand in it in the clear. Each Save writes and
// syncs the whole file, a few milliseconds; an application that receives
// hundreds of messages a second wants a store of its own.
type FileStore string

// Load reads the file. A file that is not there is an empty State; one that
// cannot be understood is an error.
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
	defer os.Remove(tmp.Name()) // nothing is left to remove once it is renamed
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
		_ = d.Sync() // not every system can sync a directory, and the file itself is safe
		_ = d.Close()
	}
	return nil
}

// journal saves the state of a client, one Save at a time. Callers that come
// while one is under way share the next.
type journal struct {
	store Store // nil: nothing is kept

	mu     sync.Mutex
	saved  uint64 // the version of the state that the store has
	sealed bool   // the last save is done, the store is the application's again
}

// save returns when the store has the state of at least that version. snapshot
// gives the newest state and its version.
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
