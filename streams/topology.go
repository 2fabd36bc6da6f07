package streams

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/channel"
	"roost/streams/presence"
	"roost/streams/subject"
)

// Topology is the configuration of a cluster's streams. The zero value of a field means
// its default.
type Topology struct {
	// Partitions is the number of SENT and INBOX streams, fixed at install: by default
	// the number at install, 1 in a new cluster. Fewer commit in larger groups, more
	// spread load over the nodes of a cluster and keep cold reads small.
	Partitions int
	// Replicas of every stream: 1 by default, 3 in a cluster.
	Replicas int
	// InboxMaxAge is how long an inbox keeps an entry: 30 days by default, at most 365.
	InboxMaxAge time.Duration
	// InboxMaxMessages is how many entries the inbox of one device may have: 10,000 by
	// default. One more is refused with inbox_full.
	InboxMaxMessages int64
	// DuplicateWindow is how long a stream knows the ids of its entries, and drops an
	// entry with the same id: 2 minutes by default. It is for a commit that arrives
	// late, after another gateway has repeated it, and its memory grows with the ids in
	// it. SENT recognises all other retries. In single-process mode SingleProcessWindow
	// is enough.
	DuplicateWindow time.Duration
}

// Limits of a topology.
const (
	DefaultPartitions       = 1
	DefaultInboxMaxAge      = 30 * 24 * time.Hour
	MaxInboxMaxAge          = 365 * 24 * time.Hour
	DefaultInboxMaxMessages = 10_000

	// partitionsKey is the metadata of MESSAGES that records Partitions.
	partitionsKey = "roost.partitions"
	// DefaultDuplicateWindow is that of JetStream. It is longer than the time for which
	// a gateway's connection that NATS has lost may still bring publishes of the gateway.
	DefaultDuplicateWindow = 2 * time.Minute
	// SingleProcessWindow is twice the default of Options.CommitTimeout: by then each
	// commit of this process has its outcome, and no other process commits.
	SingleProcessWindow = 10 * time.Second
	sessionTTL          = 90 * 24 * time.Hour
	mirrorAckWait       = time.Minute
	mirrorPending       = 4096
)

func (t Topology) withDefaults() Topology {
	if t.Partitions == 0 {
		t.Partitions = DefaultPartitions
	}
	if t.Replicas == 0 {
		t.Replicas = 1
	}
	if t.InboxMaxAge == 0 {
		t.InboxMaxAge = DefaultInboxMaxAge
	}
	if t.DuplicateWindow == 0 {
		t.DuplicateWindow = DefaultDuplicateWindow
	}
	if t.InboxMaxMessages == 0 {
		t.InboxMaxMessages = DefaultInboxMaxMessages
	}
	return t
}

// streams returns all streams of the topology, buckets included: a bucket is a stream by
// the conventions of ADR-8.
func (t Topology) streams() []jetstream.StreamConfig {
	all := []jetstream.StreamConfig{t.messages()} // first: it records Partitions
	for p := range t.Partitions {
		all = append(all, t.sent(p), t.inbox(p))
	}
	for _, name := range []subject.Bucket{subject.Accounts, subject.Devices, subject.Settings, subject.Blocks, subject.Memberships, subject.Keys} {
		all = append(all, t.bucket(name, 0))
	}
	groups := t.bucket(subject.Groups, 0)
	groups.AllowDirect = false // so that the leader answers reads: a follower may not know of a removal yet
	return append(all, groups, t.channels(),
		t.bucket(subject.Requests, schemas.RequestMemory*time.Millisecond),
		batched(t.bucket(subject.Receipts, 0)),
		batched(t.bucket(subject.Acks, t.InboxMaxAge)),
		t.volatile(t.bucket(subject.Sessions, sessionTTL)),
		t.volatile(t.bucket(subject.Gateways, presence.LeaseTTL)))
}

// stream returns the settings that the streams of messages have in common.
func (t Topology) stream(name, description string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               name,
		Description:        description,
		Subjects:           subjects,
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardOld,
		MaxMsgsPerSubject:  -1,
		MaxAge:             t.InboxMaxAge,
		Duplicates:         t.DuplicateWindow,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Replicas:           t.Replicas,
	}
}

func (t Topology) sent(p int) jetstream.StreamConfig {
	s := t.stream(subject.SentStream(p), "the last accepted sends of each device: ids, no content", subject.AllSent(p))
	s.MaxMsgsPerSubject = schemas.MaxOutstanding
	return s
}

func (t Topology) inbox(p int) jetstream.StreamConfig {
	s := t.stream(subject.InboxStream(p), "one inbox per device, until that device acknowledges", subject.AllInboxes(p))
	s.Discard, s.DiscardNewPerSubject = jetstream.DiscardNew, true
	s.MaxMsgsPerSubject = t.InboxMaxMessages
	s.AllowMsgTTL = true // of messages that disappear
	return s
}

func (t Topology) messages() jetstream.StreamConfig {
	s := t.stream(subject.MessagesStream, "messages that somebody keeps or subscribes to, until every consumer has them", subject.AllMessages)
	s.MaxAge = schemas.HistoryDays * 24 * time.Hour // workers remove sooner, see Jobs.RemoveDone
	s.AllowMsgTTL = true
	s.Metadata = map[string]string{partitionsKey: strconv.Itoa(t.Partitions)}
	return s
}

func (t Topology) channels() jetstream.StreamConfig {
	s := t.stream(subject.ChannelsStream, "the messages of groups whose members pull", subject.AllChannels)
	s.MaxMsgsPerSubject = channel.MaxEntries
	s.AllowMsgTTL = true
	return s
}

func (t Topology) bucket(name subject.Bucket, ttl time.Duration) jetstream.StreamConfig {
	window := t.DuplicateWindow
	if ttl > 0 && ttl < window {
		window = ttl
	}
	return jetstream.StreamConfig{
		Name:              name.Stream(),
		Subjects:          []string{name.Subject(">")},
		Storage:           jetstream.FileStorage,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		MaxMsgsPerSubject: 1,
		MaxAge:            ttl,
		Duplicates:        window,
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       true,
		Replicas:          t.Replicas,
	}
}

// batched returns a bucket whose records are committed many at a time.
func batched(bucket jetstream.StreamConfig) jetstream.StreamConfig {
	bucket.AllowAtomicPublish = true
	return bucket
}

// volatile returns a bucket of records that may be lost with a machine, so that no write
// waits for its disk. The bucket survives a restart of NATS all the same. Writes to a
// replicated one wait: JetStream has no other way for it.
func (t Topology) volatile(bucket jetstream.StreamConfig) jetstream.StreamConfig {
	if t.Replicas == 1 {
		bucket.PersistMode = jetstream.AsyncPersistMode
	}
	return bucket
}

// mirror returns the durable consumer of the history workers.
func (t Topology) mirror() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       subject.MirrorConsumer,
		Description:   "history workers",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       mirrorAckWait,
		MaxAckPending: mirrorPending,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		FilterSubject: subject.AllMessages,
	}
}
