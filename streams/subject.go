package streams

import (
	"hash/fnv"
	"strconv"

	"roost/schemas"
)

// Address is one device of one user.
type Address struct {
	User   schemas.UserID
	Device schemas.DeviceID
}

// unclaimed stands in place of a device in the inbox of a person who has none
// yet. It is no ULID, so no device is named so.
const unclaimed schemas.DeviceID = "unclaimed"

// Partition is hash(user) mod partitions, by FNV-1a over the user's token. It is
// fixed for the life of a cluster: a user's inbox is found by it.
func Partition(u schemas.UserID, partitions int) int {
	h := fnv.New32a()
	h.Write([]byte(u.Token()))
	return int(h.Sum32() % uint32(partitions))
}

// Names of streams.
const (
	messagesStream = "MESSAGES"
	channelsStream = "CHANNELS"
	sentPrefix     = "SENT_"
	inboxPrefix    = "INBOX_"
)

func sentStream(p int) string  { return sentPrefix + strconv.Itoa(p) }
func inboxStream(p int) string { return inboxPrefix + strconv.Itoa(p) }

func (a Address) subject(kind string, p int) string {
	return kind + "." + strconv.Itoa(p) + "." + a.User.Token() + "." + string(a.Device)
}

func sentSubject(p int, a Address) string  { return a.subject("sent", p) }
func inboxSubject(p int, a Address) string { return a.subject("inbox", p) }
func liveSubject(p int, a Address) string  { return a.subject("live", p) }

// messageSubject is where other services find an accepted message.
func messageSubject(m *schemas.Message) string {
	head := "msg." + m.SenderID.Token() + "." + string(m.SenderDeviceID)
	if m.GroupID != "" {
		return head + ".group." + string(m.GroupID)
	}
	return head + ".user." + m.ReceiverID.Token()
}

// channelSubject is where CHANNELS has the messages of a channel; updates have one for
// each message that they change.
func channelSubject(g schemas.GroupID) string { return channelEntries(g, "message") }

// channelLateSubject is where CHANNELS has messages that were stored long after they got
// their id: they stand far from where the id belongs, and pages look for them.
func channelLateSubject(g schemas.GroupID) string { return channelEntries(g, "late") }

func channelEntries(g schemas.GroupID, kind string) string {
	return "channel." + string(g) + "." + kind
}

func channelUpdates(g schemas.GroupID, change schemas.MessageChange, target schemas.MessageID) string {
	return channelEntries(g, string(change)+"."+string(target))
}

func channelEntrySubject(m *schemas.Message) string {
	if m.IsUpdate() {
		return channelUpdates(m.GroupID, m.Change, m.TargetMessageID)
	}
	return channelSubject(m.GroupID)
}

// channelNewsSubject is for the word between gateways that a channel has a new
// message. It is no liveSubject: that has a number in place of "channel".
func channelNewsSubject(g schemas.GroupID) string { return channelNewsPrefix + string(g) }

const channelNewsPrefix = "live.channel."

// Subjects of events, for other services and for who watches presence: core NATS,
// at most once.
const sessionEventPrefix = "evt.session."

func deliveredEventSubject(u schemas.UserID) string { return "evt.delivered." + u.Token() }
func readEventSubject(u schemas.UserID) string      { return "evt.read." + u.Token() }
func sessionEventSubject(u schemas.UserID) string   { return sessionEventPrefix + u.Token() }
func groupEventSubject(g schemas.GroupID) string    { return "evt.group." + string(g) }

// Keys of the buckets.
func userKey(u schemas.UserID) string { return u.Token() }
func sessionKey(a Address) string     { return a.User.Token() + "." + string(a.Device) }
func ackSubject(a Address) string     { return "$KV." + acksBucket + "." + sessionKey(a) }
func membershipKey(u schemas.UserID, g schemas.GroupID) string {
	return u.Token() + "." + string(g)
}
func receiptKey(sender, reader schemas.UserID) string {
	return sender.Token() + "." + reader.Token()
}

// readMarkKey has three parts, and so is no receiptKey. The reader is the first one,
// for a look-up of all marks of a user.
func readMarkKey(reader schemas.UserID, chat schemas.Participant) string {
	if chat.Group != "" {
		return reader.Token() + ".read." + string(chat.Group)
	}
	return reader.Token() + ".read." + chat.User.Token()
}

// readMarks is the subject of all read marks of a user.
func readMarks(u schemas.UserID) string {
	return "$KV." + receiptsBucket + "." + u.Token() + ".read.*"
}

// groupReceiptKey is no receiptKey: no user id begins as group ids do.
func groupReceiptKey(g schemas.GroupID, member schemas.UserID) string {
	return string(g) + "." + member.Token()
}
