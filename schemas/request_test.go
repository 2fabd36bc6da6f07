package schemas_test

import (
	"fmt"
	"testing"

	"roost/schemas"
)

func TestRequests(t *testing.T) {
	at := func(ms schemas.Timestamp) schemas.MessageID { return schemas.MessageIDAt(now + ms) }
	request := func(key int, ms schemas.Timestamp) schemas.Request {
		q := schemas.NewRequest("POST /groups", fmt.Sprint(key), "/groups", schemas.NewGroup{GroupName: "friends"})
		q.ID = at(ms)
		return q
	}
	var all schemas.Requests
	for i := range schemas.MaxRequests + 3 {
		all = all.With(request(i, schemas.Timestamp(i)), now+100)
	}
	if len(all.Requests) != schemas.MaxRequests {
		t.Errorf("%d are remembered", len(all.Requests))
	}
	for key, want := range map[int]bool{0: false, 2: false, 3: true, 66: true, 67: false} {
		if got, ok := all.Find(request(key, 0), now+100); ok != want || ok && got.ID != at(schemas.Timestamp(key)) {
			t.Errorf("key %d: %+v, %v", key, got, ok)
		}
	}
	const memory = schemas.RequestMemory
	if _, ok := all.Find(request(3, 0), now+3+memory-1); !ok {
		t.Error("it expired too early")
	}
	if _, ok := all.Find(request(3, 0), now+3+memory); ok {
		t.Error("it is remembered for too long")
	}
	if all = all.With(request(100, memory), now+65+memory); len(all.Requests) != 2 {
		t.Errorf("%d are left, not the newest and the new one", len(all.Requests))
	}
}

func TestNewRequest(t *testing.T) {
	body := schemas.NewGroup{GroupName: "friends"}
	q := schemas.NewRequest("POST /groups", "key", "/groups", body)
	if again := schemas.NewRequest("POST /groups", "key", "/groups", &body); again != q {
		t.Errorf("%+v, not %+v", again, q)
	}
	if other := schemas.NewRequest("POST /groups", "key", "/groups", schemas.NewGroup{GroupName: "x"}); other.KeyHash != q.KeyHash || other.RequestHash == q.RequestHash {
		t.Errorf("another body: %+v", other)
	}
	if other := schemas.NewRequest("POST /devices", "key", "/groups", body); other.KeyHash == q.KeyHash {
		t.Errorf("another route: %+v", other)
	}
	if other := schemas.NewRequest("POST /groups", "key", "/groups/x", body); other.RequestHash == q.RequestHash {
		t.Errorf("another path: %+v", other)
	}
	a := schemas.Account{KeyHash: schemas.AccountKey("key"), CreatedAt: now}
	if !a.CreatedWith("key", now+1) || a.CreatedWith("other", now+1) || a.CreatedWith("", now+1) || a.CreatedWith("key", now+schemas.RequestMemory) {
		t.Error("the account lost the key of its creation, or accepts another one")
	}
	if (schemas.Account{CreatedAt: now}).CreatedWith("", now) {
		t.Error("an account without a key was made with none")
	}
}
