package streams

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// Job is one message of MESSAGES that a worker handles. The worker calls exactly one of
// Ack, Later and Drop for it.
type Job struct {
	Data      []byte
	Keep      bool // history workers store it
	Sequence  uint64
	Delivered uint64 // number of deliveries, this one included
	msg       jetstream.Msg
}

// Ack reports that the work is done and durable.
func (j Job) Ack() error { return j.msg.Ack() }

// Later asks for a redelivery after d.
func (j Job) Later(d time.Duration) error { return j.msg.NakWithDelay(d) }

// Drop reports that the work can never be done.
func (j Job) Drop(reason string) error { return j.msg.TermWithReason(reason) }

// Jobs is the durable consumer of the history workers on MESSAGES. Several
// processes share it.
type Jobs struct {
	stream   jetstream.Stream
	consumer jetstream.Consumer
}

// MirrorJobs opens the consumer that the topology set up.
func (c *Conn) MirrorJobs(ctx context.Context) (*Jobs, error) {
	stream, err := c.api.JS.Stream(ctx, subject.MessagesStream)
	if err != nil {
		return nil, fmt.Errorf("failed to open stream %s: %w", subject.MessagesStream, err)
	}
	consumer, err := stream.Consumer(ctx, subject.MirrorConsumer)
	if err != nil {
		return nil, fmt.Errorf("failed to open consumer %s: %w", subject.MirrorConsumer, err)
	}
	return &Jobs{stream, consumer}, nil
}

const removeDoneTimeout = 10 * time.Second

// RemoveDone removes from MESSAGES the messages that all of its consumers have
// acknowledged, those of other services included. The stream does not do so by itself:
// with interest retention each acknowledgement is a removal of its own that is synced,
// see docs/decisions/0012. Several processes may call it.
func (j *Jobs) RemoveDone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeDoneTimeout)
	defer cancel()
	info, err := j.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("failed to look at stream %s: %w", subject.MessagesStream, err)
	}
	upTo := info.State.LastSeq // the next call handles later messages
	mirrored := false
	consumers := j.stream.ListConsumers(ctx)
	for one := range consumers.Info() {
		mirrored = mirrored || one.Name == subject.MirrorConsumer
		if one.NumPending > 0 || one.NumAckPending > 0 {
			upTo = min(upTo, one.AckFloor.Stream)
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("failed to list the consumers of %s: %w", subject.MessagesStream, err)
	}
	if !mirrored || upTo < info.State.FirstSeq {
		return nil
	}
	if err := j.stream.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return fmt.Errorf("failed to remove from %s: %w", subject.MessagesStream, err)
	}
	return nil
}

// Fetch waits up to wait for a first message and returns the messages available then, at
// most n, in stream order.
func (j *Jobs) Fetch(ctx context.Context, n int, wait time.Duration) ([]Job, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	first, err := j.consumer.Fetch(1, jetstream.FetchContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("failed to fetch: %w", err)
	}
	jobs := drain(nil, first)
	if len(jobs) == 0 {
		if ctx.Err() != nil {
			return nil, nil // no message arrived in time
		}
		return nil, first.Error()
	}
	rest, err := j.consumer.FetchNoWait(n - 1)
	if err != nil {
		return jobs, nil // the next call gets the error again
	}
	return drain(jobs, rest), nil
}

func drain(jobs []Job, batch jetstream.MessageBatch) []Job {
	for m := range batch.Messages() {
		job := Job{Data: m.Data(), Keep: m.Headers().Get(publisher.KeepHeader) == "1", msg: m}
		if meta, err := m.Metadata(); err == nil {
			job.Sequence, job.Delivered = meta.Sequence.Stream, meta.NumDelivered
		}
		jobs = append(jobs, job)
	}
	return jobs
}

// HistoryHandler answers requests for history. It is called concurrently.
type HistoryHandler interface {
	Chats(ctx context.Context, req schemas.ChatsRequest) (schemas.ChatsReply, error)
	Page(ctx context.Context, req schemas.HistoryRequest) (schemas.HistoryReply, error)
	Ready(ctx context.Context) error
}

// Names of the history service, a NATS micro service.
const (
	historyService = "roost-history"
	historyVersion = "1.0.0"
	historyTimeout = 5 * time.Second
)

// maxPages bounds the history requests that one worker answers at a time. More requests
// wait in the subscription, and their callers time out.
const maxPages = 16

// ServeHistory answers history requests, sharing them with other workers, until the
// function that it returns is called. That function waits for the requests in progress.
func (c *Conn) ServeHistory(h HistoryHandler) (stop func() error, err error) {
	svc, err := micro.AddService(c.control, micro.Config{
		Name: historyService, Version: historyVersion, Description: "pages of stored history",
	})
	if err != nil {
		return nil, fmt.Errorf("failed to add service %s: %w", historyService, err)
	}
	var (
		slots   = make(chan struct{}, maxPages) // full: the request waits here, the others in the subscription
		mu      sync.Mutex                      // guards stopped, and wg from growing after it
		stopped bool
		wg      sync.WaitGroup
	)
	begin := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			wg.Add(1)
		}
		return !stopped
	}
	for name, e := range map[string]struct {
		subject string
		answer  func(context.Context, []byte) ([]byte, error)
	}{
		"chats": {subject.HistoryChats, func(ctx context.Context, body []byte) ([]byte, error) { return answer(ctx, h.Chats, body) }},
		"page":  {subject.HistoryPage, func(ctx context.Context, body []byte) ([]byte, error) { return answer(ctx, h.Page, body) }},
		"ready": {subject.HistoryReady, func(ctx context.Context, _ []byte) ([]byte, error) { return nil, answerReady(ctx, h) }},
	} {
		handler := micro.HandlerFunc(func(r micro.Request) {
			slots <- struct{}{}
			if !begin() { // it arrived while the subscription was drained
				<-slots
				c.reply(r, nil, errNoWorker(nil))
				return
			}
			go func() {
				defer wg.Done()
				defer func() { <-slots }()
				ctx, cancel := context.WithTimeout(context.Background(), historyTimeout)
				defer cancel()
				body, err := e.answer(ctx, r.Data())
				c.reply(r, body, err)
			}()
		})
		if err := svc.AddEndpoint(name, handler, micro.WithEndpointSubject(e.subject)); err != nil {
			_ = svc.Stop()
			return nil, fmt.Errorf("failed to add endpoint %s: %w", name, err)
		}
	}
	if err := c.control.FlushTimeout(historyTimeout); err != nil { // from here on the server knows it
		_ = svc.Stop()
		return nil, fmt.Errorf("failed to add service %s: %w", historyService, err)
	}
	return func() error {
		err := svc.Stop()
		mu.Lock()
		stopped = true
		mu.Unlock()
		wg.Wait()
		return err
	}, nil
}

func answer[Q, A any](ctx context.Context, handle func(context.Context, Q) (A, error), body []byte) ([]byte, error) {
	req, err := schemas.Decode[Q](body)
	if err != nil {
		return nil, schemas.Errorf(schemas.CodeBadFrame, "%v", err)
	}
	reply, err := handle(ctx, req)
	if err != nil {
		return nil, err
	}
	return schemas.Encode(reply), nil
}

func answerReady(ctx context.Context, h HistoryHandler) error {
	if err := h.Ready(ctx); err != nil {
		return &schemas.Error{Code: schemas.CodeUnavailable, Message: err.Error()}
	}
	return nil
}

// reply answers a request. The methods of [micro.Request] are for the handler's own
// goroutine: after the handler, the service reads without a lock the fields that they
// set.
func (c *Conn) reply(r micro.Request, body []byte, failed error) {
	m := &nats.Msg{Subject: r.Reply(), Data: body}
	if failed != nil {
		told := schemas.AsError(failed)
		if told.Code == schemas.CodeInternal {
			c.log.Error("a request for history failed", "error", failed)
		}
		m.Header = nats.Header{micro.ErrorCodeHeader: {string(told.Code)}, micro.ErrorHeader: {told.Message}}
	}
	if err := c.control.PublishMsg(m); err != nil && !jsapi.IsClosed(err) {
		c.log.Warn("a reply was not sent", "error", err)
	}
}

func errNoWorker(cause error) error {
	return &schemas.Error{Code: schemas.CodeUnavailable, Cause: cause, RetryAfterMS: 1000,
		Message: "No history worker answered in time. Try again later; messages flow on without it."}
}

// HistoryPage asks a worker for a page. If none answers in time the error is
// unavailable.
func (c *Conn) HistoryPage(ctx context.Context, req schemas.HistoryRequest) (schemas.HistoryReply, error) {
	m, err := c.ask(ctx, subject.HistoryPage, schemas.Encode(req))
	if err != nil {
		return schemas.HistoryReply{}, err
	}
	return decodeReply[schemas.HistoryReply](m)
}

// HistoryChats asks a worker for the chats that have messages in history.
func (c *Conn) HistoryChats(ctx context.Context, req schemas.ChatsRequest) (schemas.ChatsReply, error) {
	m, err := c.ask(ctx, subject.HistoryChats, schemas.Encode(req))
	if err != nil {
		return schemas.ChatsReply{}, err
	}
	return decodeReply[schemas.ChatsReply](m)
}

// decodeReply reads a worker's answer. A retry would read the same.
func decodeReply[R any](m *nats.Msg) (R, error) {
	reply, err := schemas.Decode[R](m.Data)
	if err != nil {
		return reply, schemas.Internal(fmt.Errorf("failed to read the reply of a history worker: %w", err))
	}
	return reply, nil
}

// HistoryReady returns the reason why history cannot be served now, or nil.
func (c *Conn) HistoryReady(ctx context.Context) error {
	_, err := c.ask(ctx, subject.HistoryReady, nil)
	return err
}

func (c *Conn) ask(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	m, err := c.control.RequestWithContext(ctx, subject, body)
	if err != nil {
		return nil, errNoWorker(err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return nil, &schemas.Error{Code: schemas.Code(code), Message: m.Header.Get(micro.ErrorHeader)}
	}
	return m, nil
}
