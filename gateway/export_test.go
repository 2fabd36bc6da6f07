package gateway

import (
	"context"

	"roost/schemas"
)

// Reach into the package for the tests beside it.

// NoteActive does at once what the gateway does every minute.
func (s *Server) NoteActive(ctx context.Context, now schemas.Timestamp) { s.noteActive(ctx, now) }
