package socket

import (
	"bytes"
	"encoding/base64"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/gobwas/ws"

	"roost/schemas"
)

// subprotocol is the subprotocol that clients may offer. A browser that offers one requires
// that the server selects it.
const subprotocol = "roost.v1"

// Upgrade does the handshake of a WebSocket for a request that [CheckHandshake] accepts. The
// bytes are those that the client sent after its request.
func Upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, []byte, error) {
	// The library accepts one value of each header.
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Sec-Websocket-Key", strings.TrimSpace(r.Header.Get("Sec-Websocket-Key")))
	up := ws.HTTPUpgrader{Timeout: WriteTimeout}
	if slices.Contains(tokens(r.Header, "Sec-Websocket-Protocol"), subprotocol) {
		up.Header = http.Header{"Sec-WebSocket-Protocol": {subprotocol}}
	}
	conn, rw, _, err := up.Upgrade(r, w)
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return nil, nil, err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // no more than is buffered, so without an error
	return conn, bytes.Clone(early), nil
}

// CheckHandshake returns why a request is not a handshake of RFC 6455, section 4.2.1, and the
// status of the answer. It sets the headers of that answer in w, and does not write it.
func CheckHandshake(w http.ResponseWriter, r *http.Request) (int, *schemas.Error) {
	status, err := checkHandshake(r)
	if status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	return status, err
}

func checkHandshake(r *http.Request) (int, *schemas.Error) {
	required := func(what string) (int, *schemas.Error) {
		return http.StatusUpgradeRequired, schemas.Errorf(schemas.CodeInvalidArgument, "This is a WebSocket: %s.", what)
	}
	keys := r.Header["Sec-Websocket-Key"]
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return required("connect with HTTP/1.1, this is " + r.Proto)
	case !hasToken(r.Header, "Upgrade", "websocket"):
		return required("connect with the header Upgrade: websocket")
	case !hasToken(r.Header, "Connection", "upgrade"):
		return required("connect with the header Connection: Upgrade; a proxy in between has to pass it on")
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return required("connect with the header Sec-WebSocket-Version: 13")
	}
	if len(keys) == 1 {
		if nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0])); err == nil && len(nonce) == 16 {
			return 0, nil
		}
	}
	return http.StatusBadRequest, schemas.Errorf(schemas.CodeInvalidArgument, "Sec-WebSocket-Key: must be present once, with 16 bytes in base64.")
}

// tokens returns the elements of a header that is a list, over all its lines.
func tokens(h http.Header, name string) (all []string) {
	for _, line := range h[name] {
		for t := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(t))
		}
	}
	return all
}

func hasToken(h http.Header, name, token string) bool {
	return slices.ContainsFunc(tokens(h, name), func(t string) bool { return strings.EqualFold(t, token) })
}
