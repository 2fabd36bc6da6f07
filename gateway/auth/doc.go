// Package auth verifies tokens and passwords.
//
// An [Authenticator] verifies tokens. [Tokens] signs and verifies the tokens of built-in
// accounts with one secret. [External] verifies the tokens of an external issuer with the
// public keys of that issuer. [Accounts] hashes and checks the passwords of built-in
// accounts. A [Gate] turns the token of a request into a user who may use the server.
//
// # Goroutines
//
// An [External] that fetches its keys from a URL runs one goroutine that renews them, and
// one for each fetch, one fetch at a time. [External.Close] stops both and waits. Nothing
// else here starts a goroutine.
//
// # Failure
//
// A token that is wrong is refused with [schemas.CodeUnauthenticated]. A token that cannot
// be verified now is refused with [schemas.CodeUnavailable], never as a wrong one. So no
// client logs out because a part of the server is down. [Refusals] counts and logs why
// tokens were refused. Neither the log nor the client sees the token.
//
// While the identity provider is down, the keys that were fetched last stay in use, also
// after a restart if they have a cache file. At most maxHashing passwords are hashed at a
// time and maxHashWaiting wait; more are refused with [schemas.CodeUnavailable].
package auth
