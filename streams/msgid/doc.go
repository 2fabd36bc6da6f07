// Package msgid makes the ids of messages: ULIDs of a hybrid logical [Clock], which
// increase although the machine's clock is set back, and signed ids of a [Signer], by
// which a gateway verifies who sent a message to whom without a read.
//
// It starts no goroutine, reads nothing from NATS, and cannot fail once a Signer has its
// key.
package msgid
