// Package ferrettest runs the MongoDB store against a server: FerretDB, embedded
// in the test on SQLite in a temporary directory, or the MongoDB that
// ROOST_TEST_MONGO_URI names.
//
// FerretDB speaks the protocol of MongoDB, but it is not MongoDB. The tests show that
// commands, documents and error codes are correct. They do not test indexes, the TTL,
// atomicity, write concerns, failover or speed.
//
// The package is its own module, so the product does not depend on FerretDB. The golden
// files in testdata are the commands that the store sends; `go test -update` writes them
// again.
package ferrettest
