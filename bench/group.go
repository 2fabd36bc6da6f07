package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"roost/schemas"
)

// group is a group of users. It does not change.
type group struct {
	id      string
	members []*user
	place   map[int]int // of each member, by the index of the user
}

// copies are the outcomes of a message to a group, guarded by the lock of its sender.
type copies struct {
	group   *group
	state   []state // by place: arrived and acked
	missing int     // copies that have not arrived
}

func newCopies(g *group) *copies {
	return &copies{group: g, state: make([]state, len(g.members)), missing: len(g.members) - 1} // without the sender
}

// arrive records that the message came in at a member.
func (c *copies) arrive(at *user) arrival {
	i, ok := c.group.place[at.index]
	switch {
	case !ok:
		return unknown
	case c.state[i]&acked != 0:
		return duplicate
	case c.state[i]&arrived != 0:
		return repeated
	}
	c.state[i] |= arrived
	c.missing--
	return fresh
}

func (c *copies) acknowledge(by *user) {
	if i, ok := c.group.place[by.index]; ok {
		c.state[i] |= acked
	}
}

// lost returns the index of a member where the message has not arrived.
func (c *copies) lost() int32 {
	for i, s := range c.state[1:] { // without the sender
		if s&arrived == 0 {
			return int32(c.group.members[i+1].index)
		}
	}
	return int32(c.group.members[0].index)
}

// makeGroup creates a group at the server. Only the first member, its owner, may send.
func (e *Env) makeGroup(ctx context.Context, members []*user) (*group, error) {
	g := &group{members: members, place: make(map[int]int, len(members))}
	body := schemas.NewGroup{GroupName: "bench"}
	for i, p := range members {
		g.place[p.index] = i
		if i > 0 {
			body.Members = append(body.Members, p.id)
		}
	}
	url := e.server.URLs[0] + "/groups"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(schemas.Encode(body)))
	if err != nil {
		return nil, fmt.Errorf("failed to create a group: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+members[0].token)
	req.Header.Set("Content-Type", schemas.ContentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("failed to create a group: %w", err)
	}
	defer resp.Body.Close()
	const most = 1 << 20
	var answer struct {
		Data  schemas.GroupInfo    `json:"data"`
		Error *schemas.AnswerError `json:"error"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, most)).Decode(&answer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("failed to create a group: %s: %w", resp.Status, err)
	case answer.Error != nil:
		return nil, fmt.Errorf("failed to create a group: %s: %s", answer.Error.Code, answer.Error.Message)
	}
	g.id = string(answer.Data.GroupID)
	return g, nil
}
