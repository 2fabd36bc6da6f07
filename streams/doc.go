// Package streams is Roost on NATS: the only package that imports nats.go.
//
//	subject                         stream            writer              reader                     retention
//	sent.<p>.<user>.<device>        SENT_p            gateway             gateway, for retries       last 64 a device, inbox age
//	inbox.<p>.<user>.<device>       INBOX_p           gateway             the device's consumer      until acknowledged, inbox age
//	inbox.<p>.<user>.unclaimed      INBOX_p           gateway             the first device           until claimed, inbox age
//	msg.<user>.<device>.user.<user> MESSAGES          gateway             workers, services          until workers see that all consumers have it
//	msg.<user>.<device>.group.<g>   MESSAGES          gateway             workers, services          until workers see that all consumers have it
//	channel.<g>.message             CHANNELS          gateway             gateway                    last 10,000 a channel, inbox age
//	channel.<g>.<change>.<message>  CHANNELS          gateway             gateway                    the same, of each message
//	live.channel.<g>                – (core)          gateway             gateways                   none
//	live.<p>.<user>.<device>        – (core)          gateway             the device's gateway       none
//	evt.session.<user>              – (core)          gateway             watching gateways, services none
//	evt.…                           – (core)          gateway             services                   none
//	svc.history.page                – (core)          gateway             workers, as a queue group  none
//	svc.account.erase               – (core)          worker              gateways, as a queue group none
//	$KV.ACCOUNTS.<user>             KV_ACCOUNTS       gateway             gateway                    for good
//	$KV.DEVICES.<user>              KV_DEVICES        gateway             gateway                    for good
//	$KV.SETTINGS.<user>             KV_SETTINGS       gateway             gateway, workers           for good
//	$KV.BLOCKS.<user>               KV_BLOCKS         gateway             gateway                    for good
//	$KV.RECEIPTS.<sender>.<reader>  KV_RECEIPTS       gateway             gateway                    for good
//	$KV.RECEIPTS.<user>.read.<chat> KV_RECEIPTS       gateway             gateway                    for good
//	$KV.ACKS.<user>.<device>        KV_ACKS           gateway             the device's consumer      inbox age
//	$KV.GROUPS.<group>              KV_GROUPS         gateway             gateway, workers           until the last member leaves
//	$KV.MEMBERSHIPS.<user>.<group>  KV_MEMBERSHIPS    gateway             gateway, workers           for good
//	$KV.REQUESTS.<user>             KV_REQUESTS       gateway             gateway, for retries       last 64 a user, 24 hours
//	$KV.KEYS.message_ids            KV_KEYS           gateway             gateway                    for good
//	$KV.SESSIONS.<user>.<device>    KV_SESSIONS       gateway             gateway                    90 days
//	$KV.GATEWAYS.<gateway>          KV_GATEWAYS       gateway             gateway                    15 s
//
// p is the partition of the user who owns the inbox or the sends. A subject has a user id as
// schemas.UserID.Token. "For good" means without an age limit: only the deletion of the account or
// the group removes it. A message that disappears has a TTL in INBOX_p, MESSAGES and CHANNELS, and
// NATS removes it at that time.
//
// # Use
//
// [Dial] connects, which is enough for [Conn.Plan] and [Conn.Apply] of the admin role.
// [Conn.Open] opens the parts that a gateway or a worker uses. Only a gateway calls
// [Conn.StartConsumers], and then opens one consumer for each connected device (package inbox).
// All methods may be called concurrently. The caller closes the consumers of devices first, then
// the inbox.Consumers, then the [Conn].
//
// # Goroutines
//
// A [Conn] runs these until Close, which waits for them:
//
//   - one writer for each stream that it commits to, and one receiver of the answers (package
//     publisher),
//   - in single-process mode, one writer of send records (package sendlog),
//   - one watcher each of DEVICES, SETTINGS, BLOCKS and GATEWAYS (package jsapi),
//   - one dispatcher each for live subjects, for watched sessions and for news of channels
//     (package bus).
//
// Package inbox says which goroutines the consumers of devices run. [Conn.ServeErasures] and
// [Conn.ServeHistory] answer requests until the caller calls the function that they return, which
// waits. [presence.Presence.KeepLease] runs on the goroutine of its caller.
//
// # Failure
//
// Core NATS may lose messages, and streams do not. So an entry on a live subject is only a
// shortcut to the same entry in INBOX_p. A remover removes an entry only after the gateway has
// read it in the stream, delivered it and received its acknowledgement.
//
// In single-process mode, [Options].SingleProcess, the process delivers the entries itself and
// knows which ones it delivered (bus.Frontier). So removal needs no read. A send record may be
// committed after the copies, because each copy has everything that the record says (package
// sendlog).
//
// A commit without an answer has an unknown outcome. The publisher reports it as unknown and never
// guesses. NATS answers 404 also for some reads that failed, so package jsapi confirms a 404
// before it counts as absence. If removal of acknowledged entries is behind, the lease of the
// gateway says so, and senders at all gateways wait (package backpressure).
package streams
