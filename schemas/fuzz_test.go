package schemas_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"roost/schemas"
)

// addFiles adds every file of testdata that matches the pattern to the seeds.
func addFiles(f *testing.F, pattern string) {
	paths, err := filepath.Glob(filepath.Join("testdata", filepath.FromSlash(pattern)))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds in %s: %v", pattern, err)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// FuzzClientFrameRoundTrip: the decoder refuses an input, or the input is valid by the schema of
// its type and decodes to the same frame after it is encoded again.
func FuzzClientFrameRoundTrip(f *testing.F) {
	addFiles(f, "golden/client/*.json")
	addFiles(f, "invalid/*.json")
	f.Add([]byte(`{"action":"typing","receiver_id":"bob","group_id":null}`))
	f.Add([]byte(`{"type":"ack","Cursor":"1","cursor":"2","cursor":"3"}`))
	f.Add([]byte(`{"type":"ack","cursor":"\ud83d\udc4b","n":[{"cursor":1e999}]}`))
	kinds := map[schemas.FrameType]*jsonschema.Schema{}
	for _, name := range schemaNames() {
		if typ, ok := strings.CutPrefix(name, "client/"); ok {
			kinds[schemas.FrameType(typ)] = schema(f, name)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, number, e := schemas.DecodeClientFrame(data)
		if e != nil {
			if frame != nil || number < 0 || e.Code == "" || len(e.Message) > 300 {
				t.Errorf("%#v, %d, %v", frame, number, e)
			}
			// A field may be named "".
			if e.Code == schemas.CodeInvalidArgument && e.Field == "" && !strings.HasPrefix(e.Message, ": ") {
				t.Errorf("no field is named: %v", e)
			}
			return
		}
		if err := validate(kinds[frame.Type()], data); err != nil {
			t.Errorf("accepted as %#v, but the schema refuses it: %v", frame, err)
		}
		again := schemas.EncodeFrame(frame)
		back, _, e := schemas.DecodeClientFrame(again)
		if e != nil {
			t.Fatalf("%s: %v", again, e)
		}
		if !reflect.DeepEqual(back, frame) {
			t.Errorf("%s:\n%#v\nwas\n%#v", again, back, frame)
		}
		if err := validate(kinds[frame.Type()], again); err != nil {
			t.Errorf("%s: the schema refuses it: %v", again, err)
		}
	})
}

// FuzzServerFrameRoundTrip: a decoded frame of a server stays the same after it is encoded and
// decoded again.
func FuzzServerFrameRoundTrip(f *testing.F) {
	addFiles(f, "golden/server/*.json")
	f.Add([]byte(`{"type":"receipts","items":null}`))
	f.Add([]byte(`{"type":"receipts","items":[null,{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := schemas.DecodeServerFrame(data)
		if err != nil {
			if frame != nil {
				t.Errorf("%#v beside %v", frame, err)
			}
			return
		}
		again := schemas.EncodeFrame(frame)
		back, err := schemas.DecodeServerFrame(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if !reflect.DeepEqual(back, frame) {
			t.Errorf("%s:\n%#v\nwas\n%#v", again, back, frame)
		}
	})
}

// FuzzEntryCursor: an inbox entry with a cursor is the frame of the same message.
func FuzzEntryCursor(f *testing.F) {
	f.Add("alice", "bob", false, "hello", int64(now), int64(17), true, uint64(4711))
	f.Add("carol@example.org", "", true, "\"\\}\n\u2028<&> 👋", int64(1), int64(0), false, uint64(0))
	f.Fuzz(func(t *testing.T, sender, receiver string, inGroup bool, content string, at, number int64, reply bool, position uint64) {
		m := schemas.Message{MessageID: schemas.MessageIDAt(schemas.Timestamp(at)), Content: content,
			Timestamp: schemas.Timestamp(at), MessageIDByClient: schemas.ClientMessageID(number)}
		m.SenderID, _ = schemas.ParseUserID(sender)
		if inGroup {
			m.GroupID = group
		} else {
			m.ReceiverID, _ = schemas.ParseUserID(receiver)
		}
		if reply {
			m.ReplyTo, m.SenderDeviceID = first, device
		}
		entry := m.StoredMessage()
		stored, err := schemas.DecodeMessage(entry)
		if err != nil {
			return // history cannot store it
		}
		m.Content = stored.Content // it differs if it was not UTF-8, which no client can send
		head, err := schemas.DecodeEntryHead(entry)
		if want := (schemas.EntryHead{Type: schemas.TypeIncomingMessage, MessageID: m.MessageID, SenderID: m.SenderID, GroupID: m.GroupID}); err != nil || head != want {
			t.Errorf("%s: head %+v, %v", entry, head, err)
		}
		c := schemas.Cursor(strconv.FormatUint(position, 10))
		frame, err := schemas.DecodeServerFrame(schemas.AppendCursor(nil, entry, c))
		if err != nil {
			t.Fatalf("%s: %v", entry, err)
		}
		if want := (&schemas.Incoming{Message: m, Cursor: c}); stored != m || !reflect.DeepEqual(frame, want) {
			t.Errorf("%s:\n%#v\nwant\n%#v", entry, frame, want)
		}
	})
}
