package jsapi

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// maxParallel bounds the requests of one caller of Parallel that are in progress.
const maxParallel = 16

// Parallel calls do for 0 to n-1, several at a time, and returns the first error.
func Parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for i := range n {
		if each.Err() != nil {
			break
		}
		group.Go(func() error { return do(each, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
