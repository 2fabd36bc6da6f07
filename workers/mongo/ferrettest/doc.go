// Package ferrettest runs the MongoDB store against a server: FerretDB, embedded
// in the test on SQLite in a temporary directory, or the MongoDB that
// ROOST_TEST_MONGO_URI names.
//
// FerretDB speaks the protocol of MongoDB and is no MongoDB. What passes here
// shows that commands, documents and error codes are right on the wire; it shows
// nothing of indexes, the TTL, atomicity, write concerns, failover or speed.
//
// It is a module of its own, so that FerretDB and what it depends on stay out
// of the product. The golden files in testdata are the commands that the store
// sends; `go test -update` writes them anew.
package ferrettest
