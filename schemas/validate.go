package schemas

import (
	"fmt"
	"unicode/utf8"
)

func (f *Hello) validate() *Error {
	switch {
	case f.DeviceID == "" && f.DeviceName == "":
		return InvalidField("device_id", "is missing. Send the id of a registered device, or register one with device_name.")
	case f.DeviceID != "" && f.DeviceName != "":
		return InvalidField("device_name", "is set together with device_id. Send only one of them.")
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
		return InvalidField("content", "is missing or empty. It has 1 to %d characters.", MaxContentRunes)
	}
	if len(content) > MaxContentRunes { // a text has at most as many characters as bytes
		if n := utf8.RuneCountInString(content); n > MaxContentRunes {
			return &Error{Code: CodeContentTooLong, Field: "content",
				Message: fmt.Sprintf("content: has %d characters. At most %d are allowed.", n, MaxContentRunes)}
		}
	}
	return nil
}

func validateSend(number ClientMessageID, at Timestamp) *Error {
	if number <= 0 {
		return InvalidField("message_id_by_client", "is missing or not positive. Number the sends of a device 1, 2, 3, …")
	}
	if number > MaxNumber {
		return InvalidField("message_id_by_client", "is larger than 2^53-1. Some clients cannot tell such numbers apart. Number the sends of a device 1, 2, 3, …")
	}
	return validateClientTime(at)
}

// validateClientTime accepts the optional time of a client's clock. The server does not store
// it.
func validateClientTime(at Timestamp) *Error {
	if at < 0 || at > MaxNumber {
		return InvalidField("timestamp", "is negative or larger than 2^53-1. Leave it out, or send milliseconds since 1970.")
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

// validateUpdate accepts the updates that [MessageChange] describes.
func validateUpdate(change MessageChange, target MessageID, content string) *Error {
	if e := validateMessageID("target_message_id", target); e != nil {
		return e
	}
	switch change {
	case ChangeEdit:
		return validateContent(content)
	case ChangeDelete:
		if content != "" {
			return InvalidField("content", "is set, but a deletion has no content.")
		}
	case ChangeReaction:
		if utf8.RuneCountInString(content) > MaxReactionRunes {
			return InvalidField("content", "of a reaction has at most %d characters. An empty one removes the reaction.", MaxReactionRunes)
		}
	default:
		return InvalidField("change", "must be %q, %q or %q.", ChangeEdit, ChangeDelete, ChangeReaction)
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
		return InvalidField("cursor", "is missing. Send the cursor of the newest frame that you stored.")
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
		return InvalidField("user_ids", "is missing. An empty list ends the subscription.")
	}
	if len(f.UserIDs) > MaxPresenceUsers {
		return InvalidField("user_ids", "has %d ids. At most %d are allowed.", len(f.UserIDs), MaxPresenceUsers)
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
		return InvalidField("receiver_id", "is missing. Send a receiver_id or a group_id.")
	case receiver != "" && group != "":
		return InvalidField("group_id", "is set together with receiver_id. Send only one of them.")
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
