// Package subject has the names that all of Roost on NATS shares: the address of a
// device, the partition of a user, and every subject, stream, bucket and key. The table
// in the documentation of package streams says who writes and reads them.
//
// It starts no goroutine, and nothing in it fails: a user stands in a subject as
// [roost/schemas.UserID.Token], which is one token without wildcards.
package subject
