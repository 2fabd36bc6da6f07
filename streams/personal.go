package streams

import (
	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// holding is one place with stored data of a user: all messages of a stream on a
// subject.
type holding struct {
	stream, subject string
	// lines returns the lines of one message in the user's export.
	lines func(m jsapi.Message) ([]schemas.ExportLine, error)
	// stays: it is not deleted with the account.
	stays bool
	// peers returns the users that one message proves the user wrote with; nil if none
	// does.
	peers func(m jsapi.Message) []schemas.UserID
}

// personal lists the stored data of a user. The deletion of an account and an export
// both use this one list. Data stored in a new place gets a line here. Workers delete
// history, and export it a page at a time.
func (c *Conn) personal(u schemas.UserID) []holding {
	p, t := c.partition(u), u.Token()
	every := subject.Address{User: u, Device: "*"}
	return []holding{
		inBucket(subject.Accounts, t, accountLines),
		inBucket(subject.Settings, t, settingsLines),
		{stream: subject.Devices.Stream(), subject: subject.Devices.Subject(t), lines: deviceLines, stays: true}, // the deletion reads its state from it
		inBucket(subject.Sessions, t+".*", sessionLines),
		provesPeers(inBucket(subject.Receipts, t+".*", receiptLines), peersOfReceipt),
		provesPeers(inBucket(subject.Receipts, "*."+t, receiptLines), peersOfReceipt), // in groups as well
		inBucket(subject.Receipts, t+".read.*", readMarkLines),
		inBucket(subject.Receipts, "*.read."+t, nobodysLines), // marks of others in their chat with this user
		inBucket(subject.Acks, t+".*", nobodysLines),          // positions in the inboxes, which are in the export
		inBucket(subject.Blocks, t, blockLines),
		inBucket(subject.Requests, t, requestLines),
		inBucket(subject.Memberships, t+".*", membershipLines), // after the groups, see group.Groups.RemoveDeleted
		{stream: subject.SentStream(p), subject: subject.Sent(p, every), lines: sentLines},
		provesPeers(holding{stream: subject.InboxStream(p), subject: subject.Inbox(p, every), lines: waitingLines}, peersOfEntry),
	}
}

func inBucket(in subject.Bucket, keys string, lines func(jsapi.Message) ([]schemas.ExportLine, error)) holding {
	return holding{stream: in.Stream(), subject: in.Subject(keys), lines: lines}
}

func provesPeers(h holding, peers func(jsapi.Message) []schemas.UserID) holding {
	h.peers = peers
	return h
}
