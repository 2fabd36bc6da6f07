// Package workers turns streams into side effects. A worker
//
//   - mirrors messages into the history store (mirror.go),
//   - answers requests for history (history.go),
//   - deletes history that no user keeps any more (retention.go),
//   - removes devices that no user uses (upkeep.go), and
//   - completes the deletion of accounts (erasure.go).
//
// All of it is idempotent, so any number of workers can run at the same time.
// Gateways and workers meet only in a subject.
//
// # Goroutines
//
// [Run] starts seven goroutines and waits for them:
//
//  1. the mirror fetches a batch of messages, stores it and acknowledges it;
//  2. the remover deletes messages from MESSAGES after every consumer has them;
//  3. retention watches the settings of users;
//  4. retention watches the settings of groups;
//  5. the sweeper of retention deletes history;
//  6. erasure deletes the data of deleted accounts;
//  7. upkeep visits all users in rounds.
//
// Package streams bounds and runs the goroutines that answer requests for history.
// The end of Run's context stops fetching. The mirror still finishes its batch,
// within stopTimeout.
//
// # Failure
//
// If the store fails, messages wait in MESSAGES, and the mirror retries with growing
// pauses. Accepting and delivering messages does not depend on the store. A message
// that cannot be decoded can never be stored: the mirror terminates, counts and logs it.
package workers
