package client_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"roost/client"
	"roost/schemas"
)

func TestGroupRequests(t *testing.T) {
	var seen, data string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = r.Method + " " + r.URL.RequestURI() + " " + string(body)
		_, _ = io.WriteString(w, `{"status":"success","data":`+data+`}`)
	}))
	defer srv.Close()
	api := &client.API{URL: srv.URL, Token: "secret"}
	ctx := context.Background()
	const id = schemas.GroupID("g-01JD000000000000000000000A")
	const group = `{"group_id":"g-01JD000000000000000000000A","group_name":"friends","created_at":5,"history_storage":0,"members":[{"user_id":"alice","role":"owner","since":5}]}`
	info := schemas.GroupInfo{GroupID: id, GroupName: "friends", CreatedAt: 5, Members: []schemas.GroupMember{{UserID: "alice", Role: schemas.RoleOwner, Since: 5}}}
	name := "pals"
	for what, test := range map[string]struct {
		call   func() (any, error)
		data   string
		seen   string
		result any
	}{
		"create": {func() (any, error) {
			return api.CreateGroup(ctx, schemas.NewGroup{GroupName: "friends", Members: []schemas.UserID{"bob"}})
		}, group, `POST /groups {"group_name":"friends","members":["bob"]}`, info},
		"list": {func() (any, error) { return api.Groups(ctx) }, `[{"group_id":"` + string(id) + `","member_count":3,"role":"admin"}]`,
			"GET /groups ", []schemas.GroupSummary{{GroupID: id, MemberCount: 3, Role: schemas.RoleAdmin}}},
		"read": {func() (any, error) { return api.Group(ctx, id) }, group, "GET /groups/" + string(id) + " ", info},
		"change": {func() (any, error) { return api.ChangeGroup(ctx, id, schemas.GroupPatch{GroupName: &name}) }, group,
			"PATCH /groups/" + string(id) + ` {"group_name":"pals"}`, info},
		"add": {func() (any, error) { return api.AddMember(ctx, id, "bob", "") }, group,
			"POST /groups/" + string(id) + `/members {"user_id":"bob"}`, info},
		"role": {func() (any, error) { return api.ChangeRole(ctx, id, "b/b", schemas.RoleAdmin) }, group,
			"PATCH /groups/" + string(id) + `/members/b%2Fb {"role":"admin"}`, info},
		"remove": {func() (any, error) { return nil, api.RemoveMember(ctx, id, "b/b") }, `{}`,
			"DELETE /groups/" + string(id) + "/members/b%2Fb ", nil},
		"receipts": {func() (any, error) { return api.GroupReceipts(ctx, id, "01JD000000000000000000000B") },
			`{"message_id":"01JD000000000000000000000B","members":2,"delivered":2,"read":1,"items":[{"user_id":"bob"}]}`,
			"GET /groups/" + string(id) + "/receipts?message_id=01JD000000000000000000000B ",
			schemas.GroupReceipts{MessageID: "01JD000000000000000000000B", Members: 2, Delivered: 2, Read: 1, Items: []schemas.GroupReceipt{{UserID: "bob"}}}},
		"chat": {func() (any, error) { return api.GroupChat(ctx, id, schemas.PageBounds{UpTo: 77}) }, `[{"message_id":"M","sender_id":"bob","content":"hi","timestamp":3}]`,
			"GET /chat/" + string(id) + "?timestamp=77 ", []schemas.HistoryMessage{{MessageID: "M", SenderID: "bob", Content: "hi", Timestamp: 3}}},
		"chat of now": {func() (any, error) { return api.GroupChat(ctx, id, schemas.PageBounds{}) }, `[]`, "GET /chat/" + string(id) + " ", []schemas.HistoryMessage{}},
	} {
		data = test.data
		result, err := test.call()
		if err != nil || !reflect.DeepEqual(result, test.result) {
			t.Errorf("%s: %+v, %v", what, result, err)
		}
		if seen != test.seen {
			t.Errorf("%s: the server saw %q instead of %q", what, seen, test.seen)
		}
	}
}
