package cmd

import (
	"context"
	"fmt"
	"time"

	"roost/streams"
)

// Streams is `roost streams`.
type Streams struct {
	Plan  streamsPlan  `cmd:"" help:"Show the steps of apply without doing them."`
	Apply streamsApply `cmd:"" help:"Create or change streams; refuses a change that would lose data."`
}

type streamsPlan struct{ adminFlags }

type streamsApply struct{ adminFlags }

// adminFlags are the flags of plan and apply.
type adminFlags struct {
	natsFlags
	topologyFlags
	Replicas int `help:"Replicas of every stream: 1, 3 or 5." default:"3" env:"ROOST_REPLICAS"`
}

// Run implements `roost streams plan`.
func (c streamsPlan) Run(ctx context.Context, p Process) error {
	return c.admin(ctx, p, (*streams.Conn).Plan)
}

// Run implements `roost streams apply`.
func (c streamsApply) Run(ctx context.Context, p Process) error {
	return c.admin(ctx, p, (*streams.Conn).Apply)
}

func (f adminFlags) admin(ctx context.Context, p Process, do func(*streams.Conn, context.Context, streams.Topology) ([]streams.Step, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := streams.Dial(streams.Options{URL: f.NATS, NKeySeedFile: f.NKey, Name: "roost admin"})
	if err != nil {
		return cannotStart(err)
	}
	defer conn.Close()
	steps, err := do(conn, ctx, f.topology(f.Replicas))
	for _, s := range steps {
		fmt.Fprintln(p.Stdout, s)
	}
	if err == nil && len(steps) == 0 {
		fmt.Fprintln(p.Stdout, "nothing to do")
	}
	return err
}
