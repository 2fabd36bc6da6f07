package schemas

import (
	"fmt"
	"unicode/utf8"
)

func (f *Hello) validate() *Error {
	switch {
	case f.DeviceID == "" && f.DeviceName == "":
		return InvalidField("device_id", "is missing; name a registered device, or register one with device_name.")
	case f.DeviceID != "" && f.DeviceName != "":
		return InvalidField("device_name", "stands beside device_id; send one of them.")
	case f.DeviceID != "":
		if _, err := ParseDeviceID(string(f.DeviceID)); err != nil {
			return InvalidField("device_id", "%v.", err)
		}
		return nil
	}
	return ValidateName("device_name", f.DeviceName, MaxDeviceNameByte)
}

func (f *SendMessage) validate() *Error {
	if e := validateTarget(f.ReceiverID, f.GroupID); e != nil {
		return e
	}
	if e := validateContent(f.Content); e != nil {
		return e
	}
	if e := validateSend(f.MessageIDByClient, f.Timestamp); e != nil {
		return e
	}
	if f.ReplyTo != "" {
		return validateMessageID("reply_to", f.ReplyTo)
	}
	return nil
}

func validateContent(content string) *Error {
	if content == "" {
		return InvalidField("content", "is missing or empty; it has 1 to %d characters.", MaxContentRunes)
	}
	if len(content) > MaxContentRunes { // fewer bytes are no more characters
		if n := utf8.RuneCountInString(content); n > MaxContentRunes {
			return &Error{Code: CodeContentTooLong, Field: "content",
				Message: fmt.Sprintf("content: has %d characters, at most %d are allowed.", n, MaxContentRunes)}
		}
	}
	return nil
}

func validateSend(number ClientMessageID, at Timestamp) *Error {
	if number <= 0 {
		return InvalidField("message_id_by_client", "is missing or not positive; number the sends of a device 1, 2, 3, …")
	}
	if number > MaxNumber {
		return InvalidField("message_id_by_client", "is beyond 2^53-1, where clients take neighbours for equal; number the sends of a device 1, 2, 3, …")
	}
	return validateClientTime(at)
}

// validateClientTime accepts the time of a client's clock, which is optional: nothing
// keeps it.
func validateClientTime(at Timestamp) *Error {
	if at < 0 || at > MaxNumber {
		return InvalidField("timestamp", "is negative or beyond 2^53-1; leave it out, or send milliseconds since 1970.")
	}
	return nil
}

func (f *UpdateMessage) validate() *Error {
	if e := validateTarget(f.ReceiverID, f.GroupID); e != nil {
		return e
	}
	if e := validateUpdate(f.Change, f.TargetMessageID, f.Content); e != nil {
		return e
	}
	return validateSend(f.MessageIDByClient, f.Timestamp)
}

// validateUpdate accepts what [MessageChange] describes.
func validateUpdate(change MessageChange, target MessageID, content string) *Error {
	if e := validateMessageID("target_message_id", target); e != nil {
		return e
	}
	switch change {
	case ChangeEdit:
		return validateContent(content)
	case ChangeDelete:
		if content != "" {
			return InvalidField("content", "stands in a deletion, which has none.")
		}
	case ChangeReaction:
		if utf8.RuneCountInString(content) > MaxReactionRunes {
			return InvalidField("content", "of a reaction has at most %d characters; none takes the reaction back.", MaxReactionRunes)
		}
	default:
		return InvalidField("change", "is %q, %q or %q.", ChangeEdit, ChangeDelete, ChangeReaction)
	}
	return nil
}

func (f *DeliveredAck) validate() *Error {
	if e := validateMessageID("message_id", f.MessageID); e != nil {
		return e
	}
	return validateClientTime(f.Timestamp)
}

func (f *Ack) validate() *Error {
	if f.Cursor == "" {
		return InvalidField("cursor", "is missing; send the cursor of the newest frame that you stored.")
	}
	return nil
}

func (f *Read) validate() *Error {
	if e := validateMessageID("message_id", f.MessageID); e != nil {
		return e
	}
	if f.SenderID != "" {
		if _, err := ParseUserID(string(f.SenderID)); err != nil {
			return InvalidField("sender_id", "%v.", err)
		}
	}
	if f.GroupID != "" {
		if _, err := ParseGroupID(string(f.GroupID)); err != nil {
			return InvalidField("group_id", "%v.", err)
		}
	}
	return nil
}

func (f *TypingNotice) validate() *Error { return validateTarget(f.ReceiverID, f.GroupID) }

func (f *PresenceSubscribe) validate() *Error {
	if f.UserIDs == nil {
		return InvalidField("user_ids", "is missing; an empty list ends the subscription.")
	}
	if len(f.UserIDs) > MaxPresenceUsers {
		return InvalidField("user_ids", "has %d ids, at most %d are allowed.", len(f.UserIDs), MaxPresenceUsers)
	}
	for _, u := range f.UserIDs {
		if _, err := ParseUserID(string(u)); err != nil {
			return InvalidField("user_ids", "%v.", err)
		}
	}
	return nil
}

func (*Heartbeat) validate() *Error { return nil }

func validateTarget(receiver UserID, group GroupID) *Error {
	switch {
	case receiver == "" && group == "":
		return InvalidField("receiver_id", "is missing; name a receiver_id or a group_id.")
	case receiver != "" && group != "":
		return InvalidField("group_id", "stands beside receiver_id; send one of them.")
	case receiver != "":
		if _, err := ParseUserID(string(receiver)); err != nil {
			return InvalidField("receiver_id", "%v.", err)
		}
	default:
		if _, err := ParseGroupID(string(group)); err != nil {
			return InvalidField("group_id", "%v.", err)
		}
	}
	return nil
}

func validateMessageID(field string, id MessageID) *Error {
	if id == "" {
		return InvalidField(field, "is missing.")
	}
	if _, err := ParseMessageID(string(id)); err != nil {
		return InvalidField(field, "%v.", err)
	}
	return nil
}
