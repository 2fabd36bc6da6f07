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
	// peers returns the users that one of them proves the person wrote with; nil where
	// none does.
	peers func(m stored) []schemas.UserID
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
		{stream: "KV_" + devicesBucket, subject: "$KV." + devicesBucket + "." + t, lines: deviceLines, stays: true}, // the deletion goes by it
		inBucket(sessionsBucket, t+".*", sessionLines),
		provesPeers(inBucket(receiptsBucket, t+".*", receiptLines), peersOfReceipt),
		provesPeers(inBucket(receiptsBucket, "*."+t, receiptLines), peersOfReceipt), // in groups as well
		inBucket(receiptsBucket, t+".read.*", readMarkLines),
		inBucket(receiptsBucket, "*.read."+t, nobodysLines), // marks of others in their chat with this user
		inBucket(acksBucket, t+".*", nobodysLines),          // positions in the inboxes, which are in the export
		inBucket(blocksBucket, t, blockLines),
		inBucket(requestsBucket, t, requestLines),
		inBucket(membershipsBucket, t+".*", membershipLines), // behind the groups that are left, see leaveRest
		{stream: sentStream(p), subject: sentSubject(p, every), lines: sentLines},
		provesPeers(holding{stream: inboxStream(p), subject: inboxSubject(p, every), lines: waitingLines}, peersOfEntry),
	}
}

func inBucket(bucket, keys string, lines func(stored) ([]schemas.ExportLine, error)) holding {
	return holding{stream: "KV_" + bucket, subject: "$KV." + bucket + "." + keys, lines: lines}
}

func provesPeers(h holding, peers func(stored) []schemas.UserID) holding {
	h.peers = peers
	return h
}
