// Package chat is a client for a terminal: [Run] reads lines from a user, sends them, and
// shows what other users send. It works on pipes too, without prompt and marks in place.
// It talks to a server through package client alone.
//
// # Goroutines
//
// One goroutine, that of [Run], owns the screen and all that is known of messages, groups
// and presence. Around it run a sender, which keeps the order of the typed lines, a
// receiver of events, a notifier of reads and typing, and, while there is one, a pull of a
// channel and an export. Run ends and waits for all of them. The reader of lines is the
// exception: a read from a terminal cannot be interrupted, so it may last as long as the
// process.
//
// # Failure
//
// While the connection is lost, lines wait to be sent and requests fail with a line on the
// screen. A message whose outcome is unknown is retried under its id, by the next process
// too. Run ends with an error if the device was removed or taken over, or if the screen
// cannot be written.
package chat
