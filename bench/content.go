package bench

import (
	"bytes"
	"math/rand/v2"
	"strconv"
)

// Sizes of a content in bytes.
const (
	MinContent = 32   // holds the head
	MaxContent = 1000 // the protocol's limit; contents are ASCII
)

// noise is the source of all contents: letters and digits, so that JSON
// never escapes them.
var noise = func() []byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	random := rand.New(rand.NewPCG(0x726f6f7374, 0x62656e6368))
	text := make([]byte, 1<<16)
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return text
}()

// appendContent appends the content of a message: its sender, number and size, and a text
// that follows from them.
func appendContent(dst []byte, sender int, number int64, size int) []byte {
	begin := len(dst)
	dst = append(dst, 'b')
	dst = strconv.AppendInt(dst, int64(sender), 10)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, number, 10)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, int64(size), 10)
	dst = append(dst, '.')
	return append(dst, textOf(sender, number, size-(len(dst)-begin))...)
}

// readContent is the inverse of appendContent. It returns false if any byte is wrong.
func readContent(content []byte) (sender int, number int64, ok bool) {
	if len(content) == 0 || content[0] != 'b' {
		return 0, 0, false
	}
	var fields [3]int64
	rest := content[1:]
	for i := range fields {
		end := bytes.IndexByte(rest, '.')
		if end < 0 {
			return 0, 0, false
		}
		if fields[i], ok = parseInt(rest[:end]); !ok {
			return 0, 0, false
		}
		rest = rest[end+1:]
	}
	sender, number = int(fields[0]), fields[1]
	if int64(len(content)) != fields[2] || !bytes.Equal(rest, textOf(sender, number, len(rest))) {
		return 0, 0, false
	}
	return sender, number, true
}

func textOf(sender int, number int64, n int) []byte {
	h := (uint64(sender)<<32 ^ uint64(number)) * 0x9e3779b97f4a7c15
	at := int(h>>40) % (len(noise) - MaxContent)
	return noise[at : at+min(max(n, 0), MaxContent)]
}

// parseInt reads decimal digits without an allocation.
func parseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
