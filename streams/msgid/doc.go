// Package msgid makes the ids of messages. A [Clock] is a hybrid logical clock: its ULIDs
// increase even if the clock of the machine is set back. A [Signer] makes signed ids. With
// them a gateway verifies the sender and the receiver of a message without a read.
//
// The package starts no goroutine and reads nothing from NATS. After a Signer has its key,
// nothing in it fails. Any goroutine may call a Clock and a Signer.
package msgid
