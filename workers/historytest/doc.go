// Package historytest is the contract of [workers.Store] as tests. An adapter
// passes all of [Run] or is no adapter:
//
//	func TestContract(t *testing.T) {
//		historytest.Run(t, func(t *testing.T) workers.Store { return openEmpty(t) })
//	}
//
// The suite asks for a new and empty store in every subtest, so they share
// nothing. It leaves closing to the cleanup of the function that opened, starts
// no goroutine that outlives its subtest, and never sleeps.
//
// A store may delete expired messages by itself at any moment, as MongoDB does
// with a TTL index. So what is counted as expired is young by the clock of the
// machine, and DeleteExpired is told a time in the future.
package historytest
