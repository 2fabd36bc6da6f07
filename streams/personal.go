package streams

import "roost/schemas"

// holding is one place where something is stored about a person: all messages of
// a stream on a subject.
type holding struct {
	stream, subject string
	// lines is what one of them says in the person's export.
	lines func(m stored) ([]schemas.ExportLine, error)
	// stays: it is not deleted with the account.
	stays bool
}

// personal is what is stored about a person: the one list that the deletion of an
// account and an export go by. What is stored in a new place gets a line here.
// History is the workers', to delete and to export a page at a time.
func (c *Conn) personal(u schemas.UserID) []holding {
	p, t := c.partition(u), u.Token()
	every := Address{User: u, Device: "*"}
	return []holding{
		inBucket(accountsBucket, t, accountLines),
		inBucket(settingsBucket, t, settingsLines),
		{"KV_" + devicesBucket, "$KV." + devicesBucket + "." + t, deviceLines, true}, // the deletion goes by it
		inBucket(sessionsBucket, t+".*", sessionLines),
		inBucket(receiptsBucket, t+".*", receiptLines),
		inBucket(receiptsBucket, "*."+t, receiptLines), // in groups as well
		inBucket(receiptsBucket, t+".read.*", readMarkLines),
		inBucket(receiptsBucket, "*.read."+t, nobodysLines), // marks of others in their chat with this user
		inBucket(acksBucket, t+".*", nobodysLines),          // positions in the inboxes, which are in the export
		inBucket(blocksBucket, t, blockLines),
		inBucket(requestsBucket, t, requestLines),
		inBucket(membershipsBucket, t+".*", membershipLines), // behind the groups that are left, see leaveRest
		{sentStream(p), sentSubject(p, every), sentLines, false},
		{inboxStream(p), inboxSubject(p, every), waitingLines, false},
	}
}

func inBucket(bucket, keys string, lines func(stored) ([]schemas.ExportLine, error)) holding {
	return holding{"KV_" + bucket, "$KV." + bucket + "." + keys, lines, false}
}
