// Package bench loads a Roost server as clients do, checks that every accepted message
// arrived once with its content, and reports the measurements.
//
// The generator shares the machine with the server, so it is lean: one goroutine
// per connection, which reads, acknowledges and, in a closed loop, sends the next;
// frames are built by appending and read by searching for the few fields that
// matter (wire.go, link.go). It relies on the server putting "type" first, and on
// the contents that it generates.
//
// # Words
//
// A user has one registered device and the records of the messages that it sent (user.go).
// A link is a connection of a user (link.go). A crowd is the set of links of a scenario
// (crowd.go). An Env is a server under load with the users registered there; scenarios
// that share an Env share the users. A scenario is a function of an Env that returns a
// [Result] (closed.go, open.go and the others). A series is a figure that a scenario reads
// repeatedly (series.go, readings.go); its trend decides whether a load is flat (flat.go).
//
// # Goroutines
//
// Each link has one reader. A crowd has one goroutine for heartbeats, and an open
// loop one pacer, which owns an OS thread because it sleeps in the kernel. A
// scenario waits for all of them before it returns. A link that breaks ends its
// scenario with an error, unless the scenario cut it.
//
// # Failure
//
// [Check] counts the outcomes of messages. A run with a missing, duplicate or corrupt
// message fails ([Check.Err]). A figure that misses its target only changes the verdict.
// A steady load that is not flat fails `roost bench steady` alone ([Flatness.Err]).
package bench
