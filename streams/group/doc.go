// Package group keeps the groups: one record for each group in bucket GROUPS, with its
// members, and one record for each user and group in bucket MEMBERSHIPS, with the times at
// which the user was a member. Both are changed by compare-and-set.
//
// A read asks the leader of the bucket. So a read that begins after a change was answered
// returns that change. [Groups.Recent] and [Groups.AsOf] may answer from memory instead.
//
// # Changes
//
// [Groups.Create] and [Groups.Change] take three steps:
//
//  1. They record in MEMBERSHIPS that new members are about to join.
//  2. They write the group with its new state and the updates that describe the change. The
//     change is pending now.
//  3. They finish the change: they record in MEMBERSHIPS until when removed members were
//     members, commit the updates to the inboxes of all members and removed members, and
//     take the updates out of the record.
//
// [Groups.Group] finishes a pending change before it returns the group. So in every inbox the
// updates come before the messages of users who saw the new state, and a crash between two
// steps loses no update. Each step may be repeated.
//
// # Goroutines
//
// The package starts none that outlives a call. Changes of one group in one process wait for
// each other, for at most 10 s. A process finishes a pending change once for all callers, in
// at most 15 s.
//
// # Failure
//
// [ErrNotFound] means that the group does not exist: the leader has confirmed it. Any other
// error of a change may mean that the change was written. Then the next read finishes it.
package group
