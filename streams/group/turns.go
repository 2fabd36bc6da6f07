package group

import (
	"context"
	"fmt"
	"sync"
	"time"

	"roost/schemas"
)

// turns lets the changes of one group in this process run one after the other: many
// concurrent ones would overtake each other again and again.
type turns struct {
	mu sync.Mutex // guards the rest
	of map[schemas.GroupID]*turn
}

// turn is the turn to change one group.
type turn struct {
	taken   chan struct{} // 1; full while a change runs, and the next one waits until it is empty
	callers int           // that have the turn or wait for it, guarded by turns.mu
}

// turnTimeout bounds how long a change waits for earlier ones.
const turnTimeout = 10 * time.Second

// wait returns after no other change of the group runs in this process. Call done after the
// change.
func (t *turns) wait(ctx context.Context, id schemas.GroupID) (done func(), err error) {
	t.mu.Lock()
	one := t.of[id]
	if one == nil {
		one = &turn{taken: make(chan struct{}, 1)}
		t.of[id] = one
	}
	one.callers++
	t.mu.Unlock()
	left := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.callers--; one.callers == 0 {
			delete(t.of, id)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	select {
	case one.taken <- struct{}{}:
		return func() { <-one.taken; left() }, nil
	case <-ctx.Done():
		left()
		return nil, fmt.Errorf("failed to change group %s: %w", id, ctx.Err())
	}
}
