package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"roost/schemas"
)

// ErrIncomplete means that an export ended without its last line, so other lines may be
// missing too.
var ErrIncomplete = errors.New("the export is incomplete: its last line is missing")

// maxExportLine bounds one line of an export. The lines of the server are far smaller.
const maxExportLine = 1 << 20

// Export copies to w everything that the server stores about the user, as JSON lines. Each
// line is a [schemas.ExportLine]. It returns the number of lines without the last one, which
// marks the end. After an error the output is incomplete. The error is a [*schemas.Error] if
// the server gave a reason.
func (a *API) Export(ctx context.Context, w io.Writer) (items int64, err error) {
	resp, err := a.do(ctx, http.MethodGet, "/export", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxExportLine)
	for ; lines.Scan(); items++ {
		line, err := schemas.Decode[schemas.ExportLine](lines.Bytes())
		if err != nil {
			return items, fmt.Errorf("failed to read a line of the export: %w", err)
		}
		if _, err := fmt.Fprintf(w, "%s\n", lines.Bytes()); err != nil {
			return items, err
		}
		switch line.Kind {
		case schemas.ExportEnd:
			if line.Items == nil || *line.Items != items {
				return items, ErrIncomplete
			}
			return items, nil
		case schemas.ExportFailed:
			if e := line.Error; e != nil {
				return items, &schemas.Error{Code: e.Code, Message: e.Message, RetryAfterMS: e.RetryAfterMS}
			}
			return items, ErrIncomplete
		}
	}
	if err := lines.Err(); err != nil {
		return items, fmt.Errorf("failed to read the export: %w", err)
	}
	return items, ErrIncomplete
}
