package streams

import (
	"context"
	"errors"
	"fmt"
)

// StreamState is the size of a stream at one moment.
type StreamState struct {
	Name     string
	Messages uint64
	Bytes    uint64
}

// StreamStates asks NATS for the size of every stream of Roost, buckets included, one
// after the other until ctx ends. It returns the streams that answered, and an error for
// those that did not. The role needs $JS.API.STREAM.INFO. Call it after Open.
func (c *Conn) StreamStates(ctx context.Context) ([]StreamState, error) {
	var states []StreamState
	var failed []error
	for _, config := range (Topology{Partitions: c.partitions}).streams() {
		stream, err := c.api.JS.Stream(ctx, config.Name)
		if err != nil {
			failed = append(failed, fmt.Errorf("failed to look at stream %s: %w", config.Name, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		state := stream.CachedInfo().State
		states = append(states, StreamState{Name: config.Name, Messages: state.Msgs, Bytes: state.Bytes})
	}
	return states, errors.Join(failed...)
}
