// Package bench loads a Roost server the way clients do, checks that every
// accepted message arrived once with its content, and reports what it measured.
//
// The generator shares the machine with the server, so it is lean: one goroutine
// a connection, which reads, acknowledges and, in a closed loop, sends the next;
// frames are built by appending and read by searching for the few fields that
// matter (wire.go, link.go). It relies on the server putting "type" first, and on
// contents that it made itself.
//
// # Words
//
// A person is one user with one registered device and the record of what it sent
// (person.go). A link is a connection of a person (link.go). A crowd is the set of
// links of a scenario (crowd.go). An Env is a server under load with the people
// registered there; scenarios that share an Env share the people. A scenario is a
// function of an Env that returns a [Result] (closed.go, open.go and the others). A
// series is a figure that a scenario reads again and again (series.go, readings.go);
// its trend decides whether a load is flat (flat.go).
//
// # Goroutines
//
// Each link has one reader. A crowd has one goroutine for heartbeats, and an open
// loop one pacer, which owns an OS thread because it sleeps in the kernel. A
// scenario waits for all of them before it returns. A link that breaks ends its
// scenario with an error, except where the scenario cuts it itself.
//
// # Failure
//
// [Check] counts what went wrong with messages. A run with a missing, duplicate or
// corrupt message is a failure ([Check.Err]); a figure that misses its target is
// not: the verdict says so. A steady load that is not flat is a failure of
// `roost bench steady` alone ([Flatness.Err]).
package bench
