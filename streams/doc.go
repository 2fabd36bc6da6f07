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
//	$KV.GROUPS.<group>              KV_GROUPS         gateway             gateway, workers           until nobody is left
//	$KV.MEMBERSHIPS.<user>.<group>  KV_MEMBERSHIPS    gateway             gateway, workers           for good
//	$KV.REQUESTS.<user>             KV_REQUESTS       gateway             gateway, for retries       last 64 a user, 24 hours
//	$KV.KEYS.message_ids            KV_KEYS           gateway             gateway                    for good
//	$KV.SESSIONS.<user>.<device>    KV_SESSIONS       gateway             gateway                    90 days
//	$KV.GATEWAYS.<gateway>          KV_GATEWAYS       gateway             gateway                    15 s
//
// A message that disappears carries a TTL in INBOX_p and MESSAGES, and goes by itself.
// p is the partition of the user whose inbox or sends they are. A user stands in
// a subject as schemas.UserID.Token.
//
// # Goroutines
//
// A [Conn] runs: one writer per stream that it commits to (package publisher), one for records
// of sends where a gateway is alone (behind.go), one dispatcher for live subjects
// (package bus), one watcher each for DEVICES, SETTINGS, BLOCKS and GATEWAYS (package jsapi) and,
// where a gateway runs, one sweeper for all local inboxes (consumers.go), one dispatcher
// of what their consumers in JetStream send, where the devices have such (pull.go), one
// dispatcher of the sessions that presence is told of (package bus), one of the news of
// channels (package bus), one dispatcher of requests to erase accounts
// (tell_deletion.go), and one lease keeper
// (presence.go). A read of the stream for one device runs in a goroutine of its
// own, at most 32 at a time. One remover for each INBOX stream removes what local
// devices acknowledged (remover.go), and one goroutine records their acknowledgements
// (acknowledged.go).
// Close stops and waits for all of them.
//
// # Failure
//
// Core NATS may lose, streams do not: whatever arrives on a live subject is only
// ever a shortcut to what INBOX_p holds, and nothing leaves INBOX_p before it has
// been seen in the stream, delivered and acknowledged. A process that is alone,
// [Options].SingleProcess, shows entries itself and knows which it showed (shown.go): there
// none has to be seen in the stream first, and the record of a send may come after
// its copies, which hold all that it says (behind.go, recover.go). A commit without an
// answer has an unknown outcome and is reported as such, never guessed. A read that NATS
// answers with 404 may have failed: package jsapi confirms it before it counts. If
// removal of acknowledged entries is behind, the lease of the gateway says so, and senders
// at all gateways wait (pressure.go).
package streams
