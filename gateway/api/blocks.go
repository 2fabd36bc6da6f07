package api

import (
	"errors"
	"net/http"

	"roost/schemas"
	"roost/streams/directory"
)

// blocks is GET /blocks.
func (h *users) blocks(r *http.Request, u schemas.UserID) (int, any, error) {
	blocked, err := h.directory.Blocks(r.Context(), u)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	list := schemas.BlockList(blocked)
	if list.UserIDs == nil {
		list.UserIDs = []schemas.UserID{}
	}
	return http.StatusOK, list, nil
}

// block is PUT /blocks/{user_id}.
func (h *users) block(r *http.Request, u schemas.UserID) (int, any, error) {
	other, err := userOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	if other == u {
		return 0, nil, schemas.InvalidField("user_id", "is you; you cannot block yourself.")
	}
	person, err := h.directory.User(r.Context(), other)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	if !person.Exists {
		return 0, nil, schemas.Errorf(schemas.CodeNotFound, "user_id: there is no such user.")
	}
	err = h.directory.Block(r.Context(), u, other)
	if errors.Is(err, directory.ErrBlockLimit) {
		return 0, nil, schemas.Errorf(schemas.CodeBlockLimit,
			"You block as many users as possible: %d, or %d KiB of ids. Unblock a user first.", schemas.MaxBlocks, schemas.MaxBlocksBytes>>10)
	}
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	return http.StatusOK, nil, nil
}

// unblock is DELETE /blocks/{user_id}. It succeeds also if that user is not blocked.
func (h *users) unblock(r *http.Request, u schemas.UserID) (int, any, error) {
	other, err := userOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	if err := h.directory.Unblock(r.Context(), u, other); err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	return http.StatusOK, nil, nil
}
