// Package mongo keeps history in MongoDB, for a worker beside a NATS cluster. It
// passes workers/historytest.
//
// A message is one document in the collection messages of the URI's database, and its
// _id is the message id:
//
//	{_id, chat, sender_id, receiver_id or group_id, content, timestamp, reply_to,
//	 sender_device_id, message_id_by_client, disappears_at, expires_at}
//
// An update is one in the collection updates, under its own id, with change and
// target_message_id besides. Documents are inserted and deleted; changed are the content of
// a message that is deleted for everyone, and expires_at of an update that came before
// its message. See docs/decisions/0015.
//
// What it promises: when Append returns nil a majority of the replica set has the
// messages in its journals (w: "majority", j: true), whatever the URI says.
// Reads go to the primary, so they show what was appended before.
//
// Who runs: the package starts no goroutine of its own; those of the driver end
// with Close.
//
// When it fails: an error. An operation whose ctx has no deadline gets one, so a
// server that is away costs [Options].Timeout and not for ever. Inserts repeat
// without harm: what is there already is answered with error 11000 and left as
// it is.
//
// On a sharded cluster shard both collections by {chat: "hashed"}. A message id then
// stays unique, because a message never changes its chat. Updates are looked up by
// the ids of their targets on all shards.
package mongo
