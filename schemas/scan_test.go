package schemas

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fill sets every field of a struct and of its nested structs.
func fill(v reflect.Value, text func() string, number func() int64) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Struct:
			fill(f, text, number)
		case reflect.String:
			f.SetString(text())
		case reflect.Int64:
			f.SetInt(number())
		default:
			panic("a field of another kind: " + f.Type().String())
		}
	}
}

// encodeFrame encodes a frame by reflection.
func encodeFrame(f typed) []byte {
	body := marshalAny(f)
	if len(body) > 2 {
		body[0] = ','
	} else {
		body = body[1:]
	}
	return append([]byte(`{"type":"`+string(f.Type())+`"`), body...)
}

// written is a frame or record in two encodings: without reflection, and by encoding/json.
func written(v any) (got, want []byte) {
	if f, ok := v.(typed); ok {
		return EncodeFrame(f), encodeFrame(f)
	}
	return Encode(v), marshalAny(v)
}

// randomText returns text with characters that JSON escapes, and with invalid UTF-8.
func randomText(r *rand.Rand) string {
	parts := []string{"a", "Zoë", "<b>&amp;</b>", "\"", "\\", "/", "\n\r\t\b\f\v\x00\x1f\x7f", "\u2027\u2028\u2029\u202a",
		"👋", "\ufffd", "\xff", "\xc3", "\xed\xa0\xbd", "\xe2\x80", "\xf0\x9f\x91", "\u0085", strings.Repeat("x", 300)}
	var b strings.Builder
	for range r.IntN(6) {
		if r.IntN(4) == 0 {
			b.WriteByte(byte(r.IntN(256)))
		} else {
			b.WriteString(parts[r.IntN(len(parts))])
		}
	}
	return b.String()
}

// TestAppendEqualsReflection: encoding without reflection gives the same bytes as encoding/json.
func TestAppendEqualsReflection(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	number := func() int64 {
		switch n := int64(r.Uint64()); r.IntN(3) {
		case 0:
			return 0
		case 1:
			return n >> r.IntN(64)
		default:
			return n
		}
	}
	for _, v := range []any{&MessageReceived{}, &Delivered{}, &Incoming{}, &SendMessage{}, &DeliveredAck{}, &Ack{},
		&Message{}, &SendRecord{}, &Watermark{}} {
		if _, ok := v.(appended); !ok {
			t.Errorf("%T is written by reflection", v)
		}
		for range 3000 {
			fill(reflect.ValueOf(v).Elem(), func() string { return randomText(r) }, number)
			if got, want := written(v); !bytes.Equal(got, want) {
				t.Fatalf("%#v\nis written as\n%q\nnot as\n%q", v, got, want)
			}
		}
	}
}

// TestAppendedRecordsAreValues: a record and a pointer to it have the same encoding. A record
// without members is an empty object.
func TestAppendedRecordsAreValues(t *testing.T) {
	if got := string(Encode(Watermark{})); got != "{}" {
		t.Errorf("%s", got)
	}
	for _, v := range []any{Watermark{}, SendRecord{}} {
		if _, ok := v.(appended); !ok {
			t.Errorf("%T is written by reflection", v)
		}
	}
}

// plainText returns text that a client might send. It is never empty.
func plainText(r *rand.Rand) string {
	return "x" + strings.ToValidUTF8(randomText(r), "?")
}

// TestPlainFramesAreScanned: the scanner reads the output of EncodeFrame, for frames with all fields
// and for frames with only the required ones.
func TestPlainFramesAreScanned(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	number := func() int64 { return 1 + r.Int64N(1e17) }
	for range 300 {
		for _, f := range []ServerFrame{&MessageReceived{}, &Incoming{}, &MessageUpdate{}, &Delivered{}} {
			fill(reflect.ValueOf(f).Elem(), func() string { return plainText(r) }, number)
			data := EncodeFrame(f)
			if got := scanServerFrame(data); !reflect.DeepEqual(got, f) {
				t.Fatalf("%s: %#v", data, got)
			}
		}
	}
	const id = "01K742SG00MESSAGEMESSAGE01"
	for _, f := range []ClientFrame{
		&SendMessage{ReceiverID: "carol@example.org", Content: "\"<&>\n\u2028 👋", MessageIDByClient: 1, Timestamp: 1},
		&SendMessage{GroupID: "g-" + id, Content: "hello", MessageIDByClient: MaxNumber, Timestamp: 1760000000000, ReplyTo: id},
		&DeliveredAck{MessageID: id, Timestamp: 1}, &Ack{Cursor: "4711"}, &Heartbeat{},
	} {
		data := EncodeFrame(f)
		for _, data := range []string{string(data), strings.Replace(string(data), "type", "action", 1),
			" " + strings.NewReplacer(`":"`, `" : "`, `","`, "\",\r\n\t\"").Replace(string(data)) + "\n"} {
			if got := scanClientFrame([]byte(data)); !reflect.DeepEqual(got, f) {
				t.Errorf("%s: %#v", data, got)
			}
		}
	}
}

// TestPlainRecordsAreScanned is TestPlainFramesAreScanned for records.
func TestPlainRecordsAreScanned(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	text, number := func() string { return plainText(r) }, func() int64 { return 1 + r.Int64N(1e17) }
	for range 300 {
		m := Message{}
		fill(reflect.ValueOf(&m).Elem(), text, number)
		checkScanned(t, m.Encode(), &m, new(Message))
		head := EntryHead{Type: TypeMessageUpdate, MessageID: m.MessageID, SenderID: m.SenderID, GroupID: m.GroupID, ExpiresAt: m.ExpiresAt}
		checkScanned(t, m.StoredMessage(), &head, new(EntryHead))
		head.Type, m.Change = TypeIncomingMessage, ""
		checkScanned(t, m.StoredMessage(), &head, new(EntryHead))
		sent := SendRecord{}
		fill(reflect.ValueOf(&sent).Elem(), text, number)
		checkScanned(t, Encode(sent), &sent, new(SendRecord))
		mark := Watermark{}
		fill(reflect.ValueOf(&mark).Elem(), text, number)
		checkScanned(t, Encode(mark), &mark, new(Watermark))
	}
}

func checkScanned(t *testing.T, data []byte, want any, into scanned) {
	t.Helper()
	s := scanner{rest: data}
	if into.scan(&s); !s.done() || !reflect.DeepEqual(into, want) {
		t.Fatalf("%s: read to the end: %v\n%#v\nwant\n%#v", data, s.done(), into, want)
	}
}

// agree fails if the scanner accepts data that reflection refuses or decodes differently.
func agree[T any, P interface {
	*T
	scanned
}](t *testing.T, data []byte) {
	t.Helper()
	var got T
	s := scanner{rest: data}
	if P(&got).scan(&s); !s.done() {
		return
	}
	want, err := decodeAny[T](data)
	if err != nil {
		t.Errorf("%q is scanned as %#v, but reflection says %v", data, got, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("%q is scanned as\n%#v\nreflection reads\n%#v", data, got, want)
	}
}

// FuzzScanner: the scanner accepts no input that reflection refuses or decodes differently. If the
// scanner gives up, the result is that of reflection.
func FuzzScanner(f *testing.F) {
	for _, pattern := range []string{"golden/client/*.json", "golden/server/*.json", "golden/record/*.json", "invalid/*.json"} {
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
	for _, s := range irregular {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		agree[Message](t, data)
		agree[EntryHead](t, data)
		agree[SendRecord](t, data)
		agree[Watermark](t, data)
		client, number, e := DecodeClientFrame(data)
		wantClient, wantNumber, wantErr := decodeClientFrame(data)
		if !reflect.DeepEqual(client, wantClient) || number != wantNumber || !reflect.DeepEqual(e, wantErr) {
			t.Errorf("%q\n%#v, %d, %v\nby reflection\n%#v, %d, %v", data, client, number, e, wantClient, wantNumber, wantErr)
		}
		server, err := DecodeServerFrame(data)
		wantServer, want := decodeServerFrame(data)
		if !reflect.DeepEqual(server, wantServer) || !reflect.DeepEqual(err, want) {
			t.Errorf("%q\n%#v, %v\nby reflection\n%#v, %v", data, server, err, wantServer, want)
		}
		for _, v := range []any{client, server} {
			if v, ok := v.(appended); ok {
				if got, want := written(v); !bytes.Equal(got, want) {
					t.Errorf("%#v\nis written as\n%q\nnot as\n%q", v, got, want)
				}
			}
		}
		if !bytes.Equal(before, data) {
			t.Errorf("%q became %q", before, data)
		}
	})
}

// irregular has inputs at which the scanner must give up. Most of them are invalid.
var irregular = []string{
	``, ` `, `}`, `{`, `{}`, `{ }`, `{,}`, `null`, `[]`, `"type"`, `{"type"`, `{"type":`, `{"type":"ack"`, `{"type":"ack",`,
	`{"type":"ack","cursor"`, `{"type":"ack","cursor":`, `{"type":"ack","cursor":"`, `{"type":"ack","cursor":"1"`,
	`{"type":"ack","cursor":"1",}`, `{"type":"ack","cursor":"1"}}`, `{"type":"ack","cursor":"1"} x`, `{"type":"ack","cursor":"1"}{}`,
	`{"type":"ack" "cursor":"1"}`, `{"type":"ack",,"cursor":"1"}`, `{"type":"ack","cursor" "1"}`, `{"type":"ack","cursor":"1",1}`,
	`{"type":"ack","cursor":""}`, `{"type":"ack","cursor":"","cursor":"1"}`, `{"type":"ack","cursor":"1","cursor":""}`,
	`{"type":"ack","cursor":"1","cursor":"1"}`, `{"type":"ack","cursor":"1","cursor":null}`, `{"type":"ack","cursor":null}`,
	`{"type":"ack","cursor":"1","type":"ack"}`, `{"type":"ack","action":"ack","cursor":"1"}`, `{"type":"ack","action":"x","cursor":"1"}`,
	`{"cursor":"1","type":"ack"}`, `{"type":"ack","Cursor":"1"}`, `{"type":"ack","cursor":"1","note":{}}`, `{"Type":"ack","cursor":"1"}`,
	`{"type":"ack","c\u0075rsor":"1"}`, `{"t\u0079pe":"ack","cursor":"1"}`, `{"type":"a\u0063k","cursor":"1"}`, `{"type":"","cursor":"1"}`,
	"{\"type\":\"ack\",\"cursor\":\"1\n\"}", "{\"type\":\"ack\",\"cursor\":\"1\x7f\"}", "{\"type\":\"ack\",\"cursor\":\"\xff\"}",
	"{\"type\":\"ack\",\"curs\xffor\":\"1\"}", "{\"type\":\"ack\",\v\"cursor\":\"1\"}", "\ufeff{\"type\":\"ack\",\"cursor\":\"1\"}",
	`{"type":"ack","cursor":"\u00e9\"\\\/\b\f\n\r\t\uD83D\udc4b"}`, `{"type":"ack","cursor":"\a"}`, `{"type":"ack","cursor":"\'"}`,
	`{"type":"ack","cursor":"\u12"}`, `{"type":"ack","cursor":"\u12g4"}`, `{"type":"ack","cursor":"\U1234"}`, `{"type":"ack","cursor":"\u+123"}`,
	`{"type":"ack","cursor":"\`, `{"type":"ack","cursor":"\"}`, `{"type":"ack","cursor":"\u"}`, `{"type":"ack","cursor":"\\"}`,
	`{"type":"ack","cursor":"\ud83d"}`, `{"type":"ack","cursor":"\ud83d\ud83d\udc4b"}`, `{"type":"ack","cursor":"\udc4b\ud83d"}`,
	`{"type":"ack","cursor":"\ud83d\u0041"}`, `{"type":"ack","cursor":"\ud83dudc4b"}`, `{"type":"ack","cursor":"\ufffd\u0000"}`,
	`{"type":"heartbeat","cursor":"1"}`, `{"type":"heartbeat",}`, `{"type":"heartbeat" , "message_id_by_client":7}`,
	`{"message_id_by_client":01,"message_id":"1"}`, `{"message_id_by_client":-1}`, `{"message_id_by_client":-0}`, `{"message_id_by_client":0}`,
	`{"message_id_by_client":1.0}`, `{"message_id_by_client":1e3}`, `{"message_id_by_client":1E3}`, `{"message_id_by_client":"1"}`,
	`{"message_id_by_client":999999999999999999}`, `{"message_id_by_client":1000000000000000000}`, `{"message_id_by_client":9223372036854775807}`,
	`{"message_id_by_client":9223372036854775808}`, `{"message_id_by_client":18446744073709551617}`, `{"message_id_by_client":1`,
	`{"message_id_by_client":1,"message_id_by_client":2}`, `{"message_id_by_client":true}`, `{"message_id_by_client":+1}`,
	`{"action":"incoming_message","message_id":"1"}`, `{"type":"incoming_message","message_id":"1","content":"\ud83d"}`,
	"{\"type\":\"incoming_message\",\"message_id\":\"1\",\"content\":\"\xff\"}", `{"type":"incoming_message","message_id":"1","content":"\x"}`,
	`{"type":"incoming_message","message_id":"1","content":"a","content":"b","timestamp":1,"timestamp":2}`,
	`{"type":"incoming_message","message_id":"1","timestamp":1.5}`, `{"type":"incoming_message","message_id":"1","timestamp":01}`,
}
