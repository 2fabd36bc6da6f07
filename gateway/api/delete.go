package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams/directory"
)

// kept is what other users keep of a user who deletes the account.
var kept = []schemas.Kept{
	{Where: schemas.KeptInInboxes, What: "Everybody with whom you exchanged messages is told that you deleted the account. Messages that you sent and that wait for other people's devices are still delivered to them; those in channels are shown for up to 30 days."},
	{Where: schemas.KeptInHistory, What: "Messages between you and people who keep history, and those in groups that you or others kept, stay there, with your user_id, for up to 90 days."},
	{Where: schemas.KeptOnDevices, What: "What a device has received, yours or another's, stays there until it is deleted there."},
	{Where: schemas.KeptInSettings, What: "Who blocked you, or chose when messages of the chat with you disappear, still has your user_id in their lists."},
}

// delete is DELETE /account. A retry with the same token completes a deletion that was
// interrupted; a worker completes it in any case.
func (a *accounts) delete(r *http.Request) (int, any, error) {
	ctx := r.Context()
	id, err := a.gate.Authenticate(ctx, auth.Bearer(r))
	if err != nil {
		return 0, nil, err
	}
	person, err := a.directory.Fresh(ctx, id.User)
	switch {
	case err != nil:
		return 0, nil, auth.Unchecked(err)
	case !person.Exists && person.TokensAfter == 0:
		return 0, nil, schemas.Errorf(schemas.CodeNotFound, "There is no such account.")
	case !person.Exists: // deleted already, perhaps with the password
	case id.IssuedAt <= person.TokensAfter:
		return 0, nil, a.gate.Refused(directory.ErrDeleted)
	case a.logins.passwords != nil:
		if err := a.confirmPassword(r, id.User); err != nil {
			return 0, nil, err
		}
	}
	reserve := time.Duration(0)
	if a.logins.passwords != nil { // an external issuer decides who owns a name
		reserve = a.reserve
	}
	at, err := a.streams.DeleteAccount(ctx, id.User, reserve)
	if err != nil {
		return 0, nil, &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: err,
			Message: "Not everything was deleted in time. Retry the request."}
	}
	return http.StatusOK, schemas.AccountDeleted{UserID: id.User, DeletedAt: at, Kept: keptFor(reserve)}, nil
}

// keptFor returns kept, and the name if it stays reserved.
func keptFor(reserve time.Duration) []schemas.Kept {
	if reserve <= 0 {
		return kept
	}
	days := int((reserve + 24*time.Hour - 1) / (24 * time.Hour))
	return append(slices.Clone(kept), schemas.Kept{Where: schemas.KeptAsName,
		What: fmt.Sprintf("Nobody can take your name for %d days, so that nobody continues your chats; a record of it stays as long.", days)})
}

// confirmPassword checks the password in the body.
func (a *accounts) confirmPassword(r *http.Request, u schemas.UserID) error {
	var body schemas.AccountDeletion
	if err := a.logins.attempt(r); err != nil {
		return err
	}
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return e
	}
	right, err := a.logins.rightPassword(r.Context(), u, body.Password)
	if err != nil {
		return err
	}
	if !right {
		return schemas.Errorf(schemas.CodeUnauthenticated, "password: is wrong.")
	}
	return nil
}
