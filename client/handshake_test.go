package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"roost/schemas"
)

func TestTokenIsRenewedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		tokens := 1
		opts := srv.options()
		opts.Token = "token-1"
		opts.TokenSource = func(context.Context) (string, error) {
			tokens++
			return fmt.Sprintf("token-%d", tokens), nil
		}
		c, p := srv.connect(opts)
		event[Connected](t, c)
		p.close(1011) // the token is still valid
		p = srv.next()
		p.welcome(schemas.Welcome{})
		event[Disconnected](t, c)
		event[Connected](t, c)
		if tokens != 1 {
			t.Error("the client called the source although its token was valid")
		}
		p.close(schemas.CloseUnauthenticated) // it expired
		p = srv.next()
		if got := p.header.Get("Authorization"); got != "Bearer token-2" {
			t.Errorf("Authorization: %q", got)
		}
		want[*schemas.Hello](p)
		p.close(schemas.CloseUnauthenticated) // the new one is refused too
		event[Disconnected](t, c)
		if _, err := c.Receive(t.Context()); !isUnauthenticated(err) {
			t.Errorf("Receive: %v", err)
		}
		closeClient(t, c)
	})
}

func TestHandshakeAnswers(t *testing.T) {
	refusal := func(status int, code schemas.Code, retryMS int64) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(schemas.Answer{Status: schemas.StatusFailed,
				Error: &schemas.AnswerError{Code: code, Message: "Scripted.", RetryAfterMS: retryMS}})
		}
	}
	proxy := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		code   schemas.Code
		fatal  bool
	}{
		"no token":    {refusal(401, schemas.CodeUnauthenticated, 0), schemas.CodeUnauthenticated, true},
		"forbidden":   {refusal(403, schemas.CodeForbidden, 0), schemas.CodeForbidden, true},
		"wrong place": {http.NotFound, schemas.CodeNotFound, true},
		"too many":    {refusal(429, schemas.CodeRateLimited, 4000), schemas.CodeRateLimited, false},
		"draining":    {refusal(503, schemas.CodeUnavailable, 0), schemas.CodeUnavailable, false},
		"proxy":       {proxy, schemas.CodeUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *script) {
				srv.answer = test.answer
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				_, err := Connect(ctx, srv.options())
				var refused *schemas.Error
				if !errors.As(err, &refused) || refused.Code != test.code {
					t.Errorf("Connect: %v", err)
				}
				if gaveUp := time.Since(began) == 10*time.Second; gaveUp == test.fatal {
					t.Errorf("Connect took %v", time.Since(began))
				}
			})
		})
	}
}

func TestHelloRefused(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		done := make(chan error)
		go func() {
			_, err := Connect(t.Context(), srv.options())
			done <- err
		}()
		p := srv.next()
		want[*schemas.Hello](p)
		p.send(&schemas.ErrorFrame{Code: schemas.CodeUnavailable, Message: "Later.", RetryAfterMS: 9000})
		began := time.Now()
		p = srv.next()
		if waited := time.Since(began); waited != 9*time.Second {
			t.Errorf("waited %v, instead of 9 s", waited)
		}
		want[*schemas.Hello](p)
		p.send(&schemas.ErrorFrame{Code: schemas.CodeDeviceRemoved, Message: "Gone."})
		var refused *schemas.Error
		if err := <-done; !errors.As(err, &refused) || refused.Code != schemas.CodeDeviceRemoved {
			t.Errorf("Connect: %v", err)
		}
	})
}

func TestTokenSource(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Token, opts.BackoffMin = "", time.Second
		asked := 0
		opts.TokenSource = func(context.Context) (string, error) {
			if asked++; asked < 3 {
				return "", errors.New("the issuer does not answer")
			}
			return "late", nil
		}
		began := time.Now()
		c, p := srv.connect(opts)
		if got := p.header.Get("Authorization"); got != "Bearer late" || time.Since(began) != 3*time.Second {
			t.Errorf("Authorization: %q after %v", got, time.Since(began))
		}
		closeClient(t, c)

		opts.TokenSource = func(context.Context) (string, error) {
			return "", schemas.Errorf(schemas.CodeUnauthenticated, "The password is wrong.")
		}
		if _, err := Connect(t.Context(), opts); !isUnauthenticated(err) {
			t.Errorf("Connect: %v", err)
		}
	})
}

func TestUnknownAndMalformedFrames(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		p.raw([]byte(`{"type":"from_the_future","x":1}`))
		p.send(&schemas.ErrorFrame{Code: schemas.CodeInvalidArgument, Message: "user_ids: no."})
		if ev := event[ServerError](t, c); ev.Err.Code != schemas.CodeInvalidArgument {
			t.Errorf("ServerError: %+v", ev)
		}
		p.raw([]byte(`{"type":"incoming_message","message_id":7,"cursor":"c1"}`))
		if ev := event[Disconnected](t, c); !strings.Contains(ev.Err.Error(), "malformed") {
			t.Errorf("Disconnected: %+v", ev)
		}
		if hello := srv.next().welcome(schemas.Welcome{}); hello.ResumeAfter != "" {
			t.Errorf("resume_after: %q", hello.ResumeAfter)
		}
		closeClient(t, c)
	})
}
