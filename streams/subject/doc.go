// Package subject has the names that all of Roost on NATS shares: the address of a
// device, the partition of a user, and every subject, stream, bucket and key. The table
// in the documentation of package streams names the writer and the reader of each.
//
// The package starts no goroutine, and nothing in it fails. A subject has a user id as
// [roost/schemas.UserID.Token], which is one token without wildcards.
package subject
