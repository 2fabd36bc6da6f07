package streams

import "roost/schemas"

// holding is one place where something is stored about a person: all messages of
// a stream on a subject.
type holding struct{ stream, subject string }

// personal is what is stored about a person, besides their record in DEVICES: the
// one list that the deletion of an account goes by. What is stored in a new place
// gets a line here. History is the workers' to delete.
func (c *Conn) personal(u schemas.UserID) []holding {
	p, t := c.partition(u), u.Token()
	every := Address{User: u, Device: "*"}
	return []holding{
		inBucket(accountsBucket, t),
		inBucket(settingsBucket, t),
		inBucket(sessionsBucket, t+".*"),
		inBucket(receiptsBucket, t+".*"),
		inBucket(receiptsBucket, "*."+t),
		{sentStream(p), sentSubject(p, every)},
		{inboxStream(p), inboxSubject(p, every)},
	}
}

func inBucket(bucket, keys string) holding {
	return holding{"KV_" + bucket, "$KV." + bucket + "." + keys}
}
