package subject

import (
	"hash/fnv"
	"strconv"
	"strings"

	"roost/schemas"
)

// Address is one device of one user.
type Address struct {
	User   schemas.UserID
	Device schemas.DeviceID
}

// UnclaimedDevice stands in place of a device in the inbox of a user who has none yet. It is
// no ULID, so no device has this name.
const UnclaimedDevice schemas.DeviceID = "unclaimed"

// Unclaimed is the inbox of a user without a device.
func Unclaimed(u schemas.UserID) Address { return Address{User: u, Device: UnclaimedDevice} }

// Partition is hash(user) mod partitions, by FNV-1a over the user's token. It is
// fixed for the life of a cluster: a user's inbox is found by it.
func Partition(u schemas.UserID, partitions int) int {
	h := fnv.New32a()
	h.Write([]byte(u.Token()))
	return int(h.Sum32() % uint32(partitions))
}

// Names of streams and consumers.
const (
	MessagesStream = "MESSAGES"
	ChannelsStream = "CHANNELS"
	sentPrefix     = "SENT_"
	inboxPrefix    = "INBOX_"

	// MirrorConsumer is the durable consumer of the history workers on MESSAGES.
	MirrorConsumer = "mirror"
)

// SentStream is the stream of the send records of a partition.
func SentStream(p int) string { return sentPrefix + strconv.Itoa(p) }

// InboxStream is the stream of the inboxes of a partition.
func InboxStream(p int) string { return inboxPrefix + strconv.Itoa(p) }

// IsInboxStream says whether a stream holds inboxes.
func IsInboxStream(stream string) bool { return strings.HasPrefix(stream, inboxPrefix) }

func (a Address) under(kind string, p int) string {
	return kind + "." + strconv.Itoa(p) + "." + a.User.Token() + "." + string(a.Device)
}

// Sent has the send records of a device, in SentStream(p).
func Sent(p int, a Address) string { return a.under("sent", p) }

// AllSent matches the send records of all devices of a partition.
func AllSent(p int) string { return "sent." + strconv.Itoa(p) + ".>" }

// Inbox has the inbox of a device, in InboxStream(p).
func Inbox(p int, a Address) string { return a.under("inbox", p) }

// AllInboxes matches the inboxes of a partition.
func AllInboxes(p int) string { return "inbox." + strconv.Itoa(p) + ".>" }

// Live is the core NATS subject of the gateway that holds a device.
func Live(p int, a Address) string { return a.under("live", p) }

// AllMessages matches all of MESSAGES.
const AllMessages = "msg.>"

// Message has an accepted message, in MESSAGES, for workers and other services.
func Message(m *schemas.Message) string {
	head := "msg." + m.SenderID.Token() + "." + string(m.SenderDeviceID)
	if m.GroupID != "" {
		return head + ".group." + string(m.GroupID)
	}
	return head + ".user." + m.ReceiverID.Token()
}

// Subjects of events, for other services and for gateways that watch presence: core
// NATS, at most once.
const SessionEventPrefix = "evt.session."

func DeliveredEvent(u schemas.UserID) string { return "evt.delivered." + u.Token() }
func ReadEvent(u schemas.UserID) string      { return "evt.read." + u.Token() }
func SessionEvent(u schemas.UserID) string   { return SessionEventPrefix + u.Token() }
func GroupEvent(g schemas.GroupID) string    { return "evt.group." + string(g) }

// Subjects of services. Workers answer the first three, gateways the last.
const (
	HistoryChats = "svc.history.chats"
	HistoryPage  = "svc.history.page"
	HistoryReady = "svc.history.ready"
	EraseAccount = "svc.account.erase"
)
