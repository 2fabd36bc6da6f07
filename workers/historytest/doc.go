// Package historytest tests the contract of [workers.Store]. Every implementation passes
// [Run]:
//
//	func TestContract(t *testing.T) {
//		historytest.Run(t, func(t *testing.T) workers.Store { return openEmpty(t) })
//	}
//
// Each subtest opens a new and empty store, so subtests share nothing. The function that
// opens a store registers a cleanup that closes it. The suite starts no goroutine that
// outlives its subtest, and never sleeps.
//
// A store may delete expired messages by itself at any time, as MongoDB does with a TTL
// index. So tests that count expired messages use new ones, and pass DeleteExpired a time
// in the future.
package historytest
