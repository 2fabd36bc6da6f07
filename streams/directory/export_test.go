package directory

import (
	"roost/schemas"
)

// Remember puts a user into the cache, as if a change had been missed.
func (d *Directory) Remember(u schemas.UserID, known *User) {
	s := &slot{ready: make(chan struct{}), user: known, expires: d.now().Add(CacheTTL)}
	close(s.ready)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[userPart{u, true}], d.users[userPart{u, false}] = s, s
}
