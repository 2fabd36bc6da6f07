// Package pages reads the pages that members of channels pull. A channel is a group with too
// many members to copy each message to each of them.
//
// A [Cache] keeps the newest messages of the channels in use, bounded in channels and bytes.
// One read for one member serves all members until the channel has a newer message. The Cache
// reads older pages from the stream each time. Any goroutine may call it.
//
// # Goroutines
//
// A read that members share runs in a goroutine of its own, for at most 5 s. It ends at the
// latest with the context of [New].
//
// # Failure
//
// A read that fails returns [schemas.CodeUnavailable], and the Cache keeps nothing of it.
package pages
