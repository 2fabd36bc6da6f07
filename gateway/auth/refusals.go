package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"roost/schemas"
)

// refusalReason is why a token is refused: a code for the log and the metric.
type refusalReason string

const (
	refusedMissing   refusalReason = "missing"         // no token in hello, nor as a Bearer header
	refusedMalformed refusalReason = "malformed"       // not a signed JWT
	refusedAlgorithm refusalReason = "algorithm"       // signed with an algorithm that is not accepted
	refusedKey       refusalReason = "unknown_key"     // the issuer's set does not have the key
	refusedSignature refusalReason = "signature"       // the signature does not fit the key
	refusedIssuer    refusalReason = "issuer"          // of another issuer
	refusedAudience  refusalReason = "audience"        // for another audience
	refusedExpired   refusalReason = "expired"         //
	refusedEarly     refusalReason = "not_yet_valid"   // issued, or valid, in the future
	refusedEndless   refusalReason = "no_expiry"       //
	refusedSubject   refusalReason = "subject"         // the subject is not a user id
	refusedDeleted   refusalReason = "account_deleted" // of a deleted account
)

// refusal is why a token was refused. Only the log shows it: the client learns that the token
// was refused, and no more. The detail never repeats the token.
type refusal struct {
	reason refusalReason
	detail string
}

func (r *refusal) Error() string { return r.detail }

// unauthenticated returns the answer to a token that is refused.
func unauthenticated(reason refusalReason, format string, args ...any) *schemas.Error {
	e := schemas.Errorf(schemas.CodeUnauthenticated, "token: is not valid here and now. Log in again.")
	if reason == refusedMissing {
		e.Message = "token: is missing; send one in hello or as the Bearer header."
	}
	e.Cause = &refusal{reason, fmt.Sprintf(format, args...)}
	return e
}

// noToken returns the answer to a request without a token.
func noToken() *schemas.Error {
	return unauthenticated(refusedMissing, "There is no token.")
}

// unreadable returns the answer to a token that does not parse, or whose signature is wrong.
func unreadable(err error) *schemas.Error {
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &algorithm):
		return unauthenticated(refusedAlgorithm, "The token is signed with %s, which is not accepted.", clip(string(algorithm.Got)))
	case errors.Is(err, jose.ErrCryptoFailure):
		return unauthenticated(refusedSignature, "The token's signature is wrong.")
	}
	return unauthenticated(refusedMalformed, "The token is no signed JWT.")
}

// clip quotes at most 128 bytes of a stranger's text for the log.
func clip(text string) string {
	const most = 128
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}

// Refusals counts and logs refused tokens. Strangers decide how many there are, so each
// reason is logged at most a few times a second.
type Refusals struct {
	log     *slog.Logger
	counted *prometheus.CounterVec

	mu      sync.Mutex                        // guards reasons
	reasons map[refusalReason]*refusalLimiter // one for each constant above
}

type refusalLimiter struct {
	limiter  *rate.Limiter
	unlogged int
}

// Refusals of one reason are logged once a second, after a burst.
const (
	refusalsPerSecond = 1
	refusalsBurst     = 5
)

// NewRefusals returns Refusals that count by reason.
func NewRefusals(log *slog.Logger, counted *prometheus.CounterVec) *Refusals {
	return &Refusals{log: log, counted: counted, reasons: make(map[refusalReason]*refusalLimiter)}
}

// Note counts and logs err if it is a refusal.
func (r *Refusals) Note(err error) {
	var why *refusal
	if !errors.As(err, &why) {
		return
	}
	r.counted.WithLabelValues(string(why.reason)).Inc()
	r.mu.Lock()
	l := r.reasons[why.reason]
	if l == nil {
		l = &refusalLimiter{limiter: rate.NewLimiter(refusalsPerSecond, refusalsBurst)}
		r.reasons[why.reason] = l
	}
	unlogged, logs := l.unlogged, l.limiter.Allow()
	if logs {
		l.unlogged = 0
	} else {
		l.unlogged++
	}
	r.mu.Unlock()
	if logs {
		r.log.Info("a token was refused", "reason", string(why.reason), "detail", why.detail, "not_logged_before", unlogged)
	}
}
