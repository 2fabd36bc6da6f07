package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/streams/subject"
)

// Action is the kind of change that a [Step] of a plan makes.
type Action string

// Values of Action. A refused step would lose data; apply does none of a plan that has
// one. Sessions are not such data: gateways notice that their buckets were replaced, and
// have their clients connect again.
const (
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionReplace Action = "replace"
	ActionRefuse  Action = "refuse"
)

// Step is one difference between a topology and a cluster.
type Step struct {
	Action Action
	Name   string // of the stream or consumer
	Detail string // the change, or why it is refused
}

func (s Step) String() string { return fmt.Sprintf("%-7s %-14s %s", s.Action, s.Name, s.Detail) }

// ErrRefused is the error of Apply for a plan with a refused step.
var ErrRefused = errors.New("the change would lose data")

// Plan returns the steps that Apply would do. An empty plan means that the cluster
// matches the topology. It changes nothing.
func (c *Conn) Plan(ctx context.Context, t Topology) (steps []Step, err error) {
	ctx, settle := c.untilDenied(ctx)
	defer settle(&err)
	_, steps, err = c.plan(ctx, t)
	return steps, err
}

// plan is Plan; it also returns the topology with all defaults filled in.
func (c *Conn) plan(ctx context.Context, t Topology) (_ Topology, steps []Step, err error) {
	recorded, err := c.recordedPartitions(ctx)
	if errors.Is(err, ErrNotInstalled) {
		recorded, err = untilAnswered(ctx, c.countInboxes)
	}
	if err != nil {
		return t, nil, err
	}
	if t.Partitions == 0 {
		t.Partitions = recorded
	}
	t = t.withDefaults()
	if err := t.check(); err != nil {
		return t, nil, err
	}
	if recorded != 0 && recorded != t.Partitions {
		return t, []Step{{ActionRefuse, subject.MessagesStream, fmt.Sprintf(
			"partitions: %d → %d: users' inboxes would not be found again. The number is fixed at install", recorded, t.Partitions)}}, nil
	}
	for _, want := range t.streams() {
		have, err := untilAnswered(ctx, func(ctx context.Context) (jetstream.Stream, error) { return c.api.JS.Stream(ctx, want.Name) })
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			steps = append(steps, Step{ActionCreate, want.Name, strings.Join(want.Subjects, " ")})
			continue
		}
		if err != nil {
			return t, nil, fmt.Errorf("failed to look up stream %s: %w", want.Name, err)
		}
		steps = append(steps, compare(have.CachedInfo().Config, want)...)
	}
	steps = withGateways(steps)
	_, err = untilAnswered(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return c.api.JS.Consumer(ctx, subject.MessagesStream, subject.MirrorConsumer)
	})
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		steps = append(steps, Step{ActionCreate, subject.MirrorConsumer, "consumer on " + subject.MessagesStream})
	case err != nil:
		return t, nil, fmt.Errorf("failed to look up consumer %s: %w", subject.MirrorConsumer, err)
	}
	return t, steps, nil
}

// withGateways replaces GATEWAYS whenever SESSIONS loses its records: that is how
// gateways notice.
func withGateways(steps []Step) []Step {
	sessions, gateways := subject.Sessions.Stream(), subject.Gateways.Stream()
	lost := slices.ContainsFunc(steps, func(s Step) bool {
		return s.Name == sessions && (s.Action == ActionCreate || s.Action == ActionReplace)
	})
	for i, s := range steps {
		if s.Name == gateways && s.Action == ActionUpdate && lost {
			steps[i].Action = ActionReplace
		}
	}
	if lost && !slices.ContainsFunc(steps, func(s Step) bool { return s.Name == gateways }) {
		steps = append(steps, Step{ActionReplace, gateways, "with " + sessions})
	}
	return steps
}

// Apply changes the cluster to match the topology. It does nothing if the plan is empty,
// and nothing at all, with [ErrRefused], if a step would lose data. Only the admin role
// may call it.
func (c *Conn) Apply(ctx context.Context, t Topology) (steps []Step, err error) {
	ctx, settle := c.untilDenied(ctx)
	defer settle(&err)
	t, steps, err = c.plan(ctx, t)
	if err != nil {
		return nil, err
	}
	todo := make(map[string]Action)
	for _, s := range steps {
		if s.Action == ActionRefuse {
			return steps, fmt.Errorf("%w: %s: %s", ErrRefused, s.Name, s.Detail)
		}
		todo[s.Name] = s.Action
	}
	for _, want := range t.streams() {
		switch todo[want.Name] {
		case "":
			continue
		case ActionReplace:
			_, err := untilAnswered(ctx, func(ctx context.Context) (any, error) { return nil, c.api.JS.DeleteStream(ctx, want.Name) })
			if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) { // an earlier try got no answer
				return steps, fmt.Errorf("failed to replace stream %s: %w", want.Name, err)
			}
		}
		_, err := untilAnswered(ctx, func(ctx context.Context) (jetstream.Stream, error) {
			return c.api.JS.CreateOrUpdateStream(ctx, want)
		})
		if err != nil {
			return steps, fmt.Errorf("failed to set up stream %s: %w", want.Name, err)
		}
	}
	if todo[subject.MirrorConsumer] != "" {
		_, err := untilAnswered(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
			return c.api.JS.CreateOrUpdateConsumer(ctx, subject.MessagesStream, t.mirror())
		})
		if err != nil {
			return steps, fmt.Errorf("failed to set up consumer %s: %w", subject.MirrorConsumer, err)
		}
	}
	return steps, nil
}

// answerTimeout bounds one request of untilAnswered.
const answerTimeout = 5 * time.Second

// untilAnswered retries a request of JetStream until it is answered or ctx ends. A
// connection that breaks loses answers. So does a cluster: the leader of a new stream
// confirms it, unless it steps down at that moment. The next request does not fail if
// the stream exists already.
func untilAnswered[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	for {
		try, cancel := context.WithTimeout(ctx, answerTimeout)
		answer, err := request(try)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return answer, err
		}
	}
}

func (t Topology) check() error {
	switch {
	case t.Partitions < 1 || t.Partitions > 1024:
		return fmt.Errorf("partitions: %d is not in 1 to 1024", t.Partitions)
	case t.Replicas < 1 || t.Replicas > 5 || t.Replicas%2 == 0:
		return fmt.Errorf("replicas: %d is not 1, 3 or 5", t.Replicas)
	case t.InboxMaxAge < time.Hour || t.InboxMaxAge > MaxInboxMaxAge:
		return fmt.Errorf("inbox-max-age: %v is not in 1h to %v", t.InboxMaxAge, MaxInboxMaxAge)
	case t.InboxMaxMessages < 1:
		return fmt.Errorf("inbox-max-messages: %d is not positive", t.InboxMaxMessages)
	}
	return nil
}

// compare lists the differences of have from want. Each difference is an update. It is
// refused if it would drop messages or NATS cannot do it in place.
func compare(have, want jetstream.StreamConfig) []Step {
	var changes, refused []string
	note := func(losing bool, field string, from, to any) {
		text := fmt.Sprintf("%s: %v → %v", field, from, to)
		if losing {
			refused = append(refused, text)
		} else {
			changes = append(changes, text)
		}
	}
	if have.Storage != want.Storage {
		note(true, "storage", have.Storage, want.Storage)
	}
	if have.Retention != want.Retention {
		// Once, the acknowledgements of its consumers removed messages from MESSAGES.
		keeps := have.Retention == jetstream.InterestPolicy && want.Retention == jetstream.LimitsPolicy
		note(!keeps, "retention", have.Retention, want.Retention)
	}
	if h, w := strings.Join(have.Subjects, " "), strings.Join(want.Subjects, " "); h != w {
		note(true, "subjects", h, w)
	}
	if have.MaxAge != want.MaxAge {
		note(shrinks(int64(have.MaxAge), int64(want.MaxAge)), "max age", have.MaxAge, want.MaxAge)
	}
	if unlimited(have.MaxMsgsPerSubject) != unlimited(want.MaxMsgsPerSubject) {
		note(shrinks(have.MaxMsgsPerSubject, want.MaxMsgsPerSubject), "max messages per subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	}
	// A discard policy that changes from new to old starts to drop messages.
	if have.Discard != want.Discard {
		note(want.Discard == jetstream.DiscardOld, "discard", have.Discard, want.Discard)
	}
	if have.DiscardNewPerSubject != want.DiscardNewPerSubject {
		note(!want.DiscardNewPerSubject, "discard new per subject", have.DiscardNewPerSubject, want.DiscardNewPerSubject)
	}
	if have.Replicas != want.Replicas {
		note(false, "replicas", have.Replicas, want.Replicas)
	}
	if have.Duplicates != want.Duplicates {
		note(false, "duplicate window", have.Duplicates, want.Duplicates)
	}
	if have.AllowDirect != want.AllowDirect {
		note(false, "allow direct", have.AllowDirect, want.AllowDirect)
	}
	if have.AllowAtomicPublish != want.AllowAtomicPublish {
		note(false, "allow atomic publish", have.AllowAtomicPublish, want.AllowAtomicPublish)
	}
	if have.AllowMsgTTL != want.AllowMsgTTL {
		note(have.AllowMsgTTL, "allow message TTL", have.AllowMsgTTL, want.AllowMsgTTL)
	}
	if have.PersistMode != want.PersistMode {
		note(true, "persist mode", have.PersistMode, want.PersistMode)
	}
	if len(refused) > 0 && (want.Name == subject.Sessions.Stream() || want.Name == subject.Gateways.Stream()) { // see withGateways
		return []Step{{ActionReplace, want.Name, strings.Join(append(refused, changes...), ", ")}}
	}
	var steps []Step
	for _, r := range refused {
		steps = append(steps, Step{ActionRefuse, want.Name, r})
	}
	if len(changes) > 0 {
		steps = append(steps, Step{ActionUpdate, want.Name, strings.Join(changes, ", ")})
	}
	return steps
}

// unlimited gives the server's spellings of "no limit" one value.
func unlimited(n int64) int64 { return max(n, 0) }

// shrinks reports whether a limit gets tighter; 0 and below mean no limit.
func shrinks(have, want int64) bool {
	return unlimited(want) != 0 && (unlimited(have) == 0 || want < have)
}

// ErrNotInstalled means that the cluster has no streams of Roost yet.
var ErrNotInstalled = errors.New("the cluster has no streams of Roost; run `roost streams apply` with the admin role first")

// countInboxes counts the partitions if their record was deleted. It returns 0 in an
// empty cluster.
func (c *Conn) countInboxes(ctx context.Context) (n int, err error) {
	names := c.api.JS.StreamNames(ctx, jetstream.WithStreamListSubject("inbox.>"))
	for range names.Name() {
		n++
	}
	if err := names.Err(); err != nil {
		return 0, fmt.Errorf("failed to list streams: %w", err)
	}
	return n, nil
}

func (c *Conn) recordedPartitions(ctx context.Context) (int, error) {
	s, err := untilAnswered(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		return c.api.JS.Stream(ctx, subject.MessagesStream)
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, ErrNotInstalled
	}
	if err != nil {
		return 0, fmt.Errorf("failed to look up stream %s: %w", subject.MessagesStream, err)
	}
	n, err := strconv.Atoi(s.CachedInfo().Config.Metadata[partitionsKey])
	if err != nil || n < 1 {
		return 0, fmt.Errorf("stream %s does not record the number of partitions in its metadata %q", subject.MessagesStream, partitionsKey)
	}
	return n, nil
}
