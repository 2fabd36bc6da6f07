package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"roost/schemas"
)

// History runs the closed loop without history, then with history of every user. The result
// names the messages that the mirror has not stored yet, because that work is still due.
func History(ctx context.Context, env *Env, o ClosedOptions) (Result, error) {
	r := Result{Name: "history", Title: fmt.Sprintf("history of every user, closed loop, %d pairs × %d unanswered", o.Pairs, o.Window)}
	without, err := Closed(ctx, env, o)
	r.Check.add(without.Check)
	if err != nil {
		return r, err
	}
	users, err := env.need(ctx, 2*o.Pairs)
	if err != nil {
		return r, err
	}
	if err := env.keepHistory(ctx, users); err != nil {
		return r, err
	}
	before, known := env.stored(ctx)
	with, err := Closed(ctx, env, o)
	r.Check.add(with.Check)
	r.Latency, r.Notes, r.Seconds = with.Latency, with.Notes, with.Seconds
	if err != nil {
		return r, err
	}
	a, _ := without.Figure(FigureSends)
	b, _ := with.Figure(FigureSends)
	r.Figures = with.Figures
	r.add("accepted sends without history", a, "/s")
	if a > 0 {
		r.add(FigureKept, 100*b/a, "%")
	}
	if after, ok := env.stored(ctx); ok && known {
		r.add("messages that history lacks at the end", max(float64(with.Check.Accepted)-(after-before), 0), "")
	}
	return r, nil
}

// keepHistory switches on the history of users.
func (e *Env) keepHistory(ctx context.Context, users []*user) error {
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connecting}, Timeout: connectTimeout}
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(connecting)
	for _, p := range users {
		group.Go(func() error {
			at := e.server.URLs[p.index%len(e.server.URLs)] + "/user/settings"
			req, err := http.NewRequestWithContext(ctx, http.MethodPut, at, strings.NewReader(`{"history_storage":90}`))
			if err != nil {
				return fmt.Errorf("failed to switch history on: %w", err)
			}
			req.Header.Set("Authorization", "Bearer "+p.token)
			req.Header.Set("Content-Type", schemas.ContentType)
			resp, err := client.Do(req)
			if err != nil {
				return fmt.Errorf("failed to switch history on: %w", err)
			}
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body) // the connection can be used again
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("failed to switch history on: the server answers %s", resp.Status)
			}
			return nil
		})
	}
	return group.Wait()
}

// stored returns how many messages the workers have stored; false if the metrics do not say.
func (e *Env) stored(ctx context.Context) (float64, bool) {
	m, err := scrape(ctx, e.server.URLs[0])
	if err != nil {
		return 0, false
	}
	n, ok := m["roost_worker_messages_stored_total"]
	return n, ok
}
