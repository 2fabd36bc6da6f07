// Package chat is a client for a terminal. [Run] reads lines from the user, sends them, and
// shows the messages of other users. A line that begins with / is a command: the command
// table of the session maps it to a function. The chat works on pipes too, without a
// prompt. It talks to a server through package client alone.
//
// # Goroutines
//
// The goroutine of [Run] owns the session and its parts. Each part owns its data: the
// screen, the known messages, the names of chats, the open chat, marks, typing, presence,
// channels. These run beside it: the sender, which keeps the order of the user's lines, the
// receiver of events, and the notifier of read marks and typing. A pull of a channel and an
// export have goroutines of their own while they last. Run ends all of them and waits. The reader of lines is the exception: a
// read from a terminal cannot be interrupted, so it may last as long as the process.
//
// # Failure
//
// While the connection is lost, the sender waits and commands fail with a line on the
// screen. A message whose outcome is unknown is retried under its number, by the next
// process too. Run returns an error if the device was removed or taken over, or if the
// screen cannot be written.
package chat
