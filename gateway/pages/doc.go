// Package pages serves what members of channels pull. A channel is a group with too many
// members for a copy each.
//
// A [Cache] keeps the newest messages of the channels in use, bounded in channels and bytes.
// One read for one member serves all members until there is news. Older pages are read from
// the stream each time.
//
// A shared read runs in a goroutine of its own, for at most 5 s; it ends with the context of
// [New]. A read that fails is unavailable, and nothing is cached.
package pages
