// Package directory reads and writes the records of users: accounts, devices, settings and
// blocks. Each bucket has one key for each user, which is changed by compare-and-set.
//
// # Cache
//
// A [Directory] caches for at most a minute the data of a user that sends and connects
// need. A watch of each bucket updates the cache, so a change by another gateway shows a
// network hop later. [Directory.OnDevices] and [Directory.OnChange] register functions
// that the watches call.
//
// # Goroutines
//
// One watch for each of DEVICES, SETTINGS and BLOCKS runs in package jsapi until the
// jsapi.Client closes. The other calls run on the goroutine of the caller, and any goroutine may
// make them.
//
// # Failure
//
// An unknown user is a [User] that does not exist, and no error: the absence is confirmed
// by the leader of the bucket. An error means that the user may exist.
package directory
