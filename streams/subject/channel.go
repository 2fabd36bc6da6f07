package subject

import (
	"roost/schemas"
)

// AllChannels matches all of CHANNELS.
const AllChannels = "channel.>"

// ChannelMessages has the messages of a channel, in CHANNELS. The updates of each message
// have subjects of their own, see ChannelUpdates.
func ChannelMessages(g schemas.GroupID) string { return ChannelEntries(g, "message") }

// ChannelLate has messages that were stored long after they got their id, in
// CHANNELS. They stand far from the place of their id, so pages look for them here.
func ChannelLate(g schemas.GroupID) string { return ChannelEntries(g, "late") }

// ChannelEntries has one kind of the entries of a channel; ">" matches all of them.
func ChannelEntries(g schemas.GroupID, kind string) string {
	return "channel." + string(g) + "." + kind
}

// ChannelUpdates has the updates of one kind of one message of a channel.
func ChannelUpdates(g schemas.GroupID, change schemas.MessageChange, target schemas.MessageID) string {
	return ChannelEntries(g, string(change)+"."+string(target))
}

// ChannelEntry is where a message or update belongs, unless it is stored late.
func ChannelEntry(m *schemas.Message) string {
	if m.IsUpdate() {
		return ChannelUpdates(m.GroupID, m.Change, m.TargetMessageID)
	}
	return ChannelMessages(m.GroupID)
}

// ChannelNewsPrefix is followed by the id of a group. No live subject of a device begins
// with it: that has a number in place of "channel".
const ChannelNewsPrefix = "live.channel."

// ChannelNews is the core NATS subject on which gateways tell each other that a
// channel has a new entry.
func ChannelNews(g schemas.GroupID) string { return ChannelNewsPrefix + string(g) }
