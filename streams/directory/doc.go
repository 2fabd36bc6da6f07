// Package directory knows the users: accounts, devices, settings and blocks, each one key
// a user in its bucket, changed with compare-and-set.
//
// # Cache
//
// It caches what sends and connects need of a user, for at most a minute. One watch a
// bucket tells the cache of changes, so another gateway's change is seen a network hop
// later. [Directory.OnDevices] and [Directory.OnChange] tell other parts.
//
// # Goroutines
//
// One watch for each of DEVICES, SETTINGS and BLOCKS, in package jsapi, until that is
// closed.
//
// # Failure
//
// An unknown user is a [User] that does not exist, and no error: the absence is confirmed
// by the leader of the bucket. An error means that the user may exist.
package directory
