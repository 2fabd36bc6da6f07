package group

import (
	"sync"
	"time"

	"roost/schemas"
)

// maxKnownMembers bounds the members of all groups in the cache, about 100 bytes each. A
// group that exceeds it evicts any others.
const maxKnownMembers = 1 << 20

// cache keeps decoded groups. Its methods lock.
type cache struct {
	mu      sync.Mutex // guards the rest
	known   map[schemas.GroupID]known
	members int // of all known groups
}

// known is a record that was read, decoded. The group is shared and does not change.
type known struct {
	group    *schemas.Group
	revision uint64
	at       time.Time // of the last read that returned this revision
}

func (c *cache) get(id schemas.GroupID) (known, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.known[id]
	return k, ok
}

// confirm returns the group of that revision, which a read at a time returned; nil if the
// cache does not have it.
func (c *cache) confirm(id schemas.GroupID, revision uint64, at time.Time) *schemas.Group {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.known[id]
	if !ok || k.revision != revision {
		return nil
	}
	k.at = at
	c.known[id] = k
	return k.group
}

// add adds a group, unless the cache has a newer revision.
func (c *cache) add(id schemas.GroupID, k known) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.known[id]; ok {
		if old.revision > k.revision {
			return
		}
		c.drop(id, old)
	}
	for other, old := range c.known { // any: map order is random
		if c.members+len(k.group.Members) <= maxKnownMembers {
			break
		}
		c.drop(other, old)
	}
	c.known[id] = k
	c.members += len(k.group.Members)
}

// evict evicts a group that was deleted.
func (c *cache) evict(id schemas.GroupID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.known[id]; ok {
		c.drop(id, k)
	}
}

// evictOlder evicts a state of a group from before a change.
func (c *cache) evictOlder(id schemas.GroupID, changed schemas.MessageID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.known[id]; ok && k.group.Changed < changed {
		c.drop(id, k)
	}
}

// drop removes a known group. mu is held.
func (c *cache) drop(id schemas.GroupID, k known) {
	delete(c.known, id)
	c.members -= len(k.group.Members)
}
