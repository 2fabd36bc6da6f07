// Package mongo keeps history in MongoDB, for workers of a NATS cluster. It passes
// workers/historytest.
//
// A message is one document in the collection messages of the URI's database. Its _id
// is the message id:
//
//	{_id, chat, sender_id, receiver_id or group_id, content, timestamp, reply_to,
//	 sender_device_id, message_id_by_client, disappears_at, expires_at}
//
// An update is one document in the collection updates. It has its own id, and in
// addition the fields change and target_message_id. The package inserts and deletes
// documents. It changes only two fields: the content of a message that was deleted for
// everyone, and expires_at of an update that came before its message. See
// docs/decisions/0015.
//
// # Promise
//
// After Append returns nil, a majority of the replica set has the messages in its
// journals (w: "majority", j: true), whatever the URI says. Reads go to the primary, so
// they see every earlier Append.
//
// # Goroutines
//
// The package starts no goroutine. Those of the driver end with Close.
//
// # Failure
//
// Each method returns an error. If ctx has no deadline, the operation gets one, so it
// fails after [Options].Timeout if the server does not answer. A retry of an insert is
// harmless: MongoDB answers a stored document with error 11000 and does not change it.
//
// # Sharding
//
// On a sharded cluster shard both collections by {chat: "hashed"}. Message ids stay
// unique, because a message never changes its chat. The lookup of updates by the ids of
// their targets asks all shards.
package mongo
