package main

import (
	"context"
	"fmt"
	"time"

	"roost/streams"
)

// adminFlags are what plan and apply know of the cluster to be.
type adminFlags struct {
	natsFlags
	topologyFlags
	Replicas int `help:"Replicas of every stream: 1, 3 or 5." default:"3" env:"ROOST_REPLICAS"`
}

type planCommand struct{ adminFlags }

type applyCommand struct{ adminFlags }

// Run implements `roost streams plan`.
func (c planCommand) Run(p process) error {
	return c.admin(p, (*streams.Conn).Plan)
}

// Run implements `roost streams apply`.
func (c applyCommand) Run(p process) error {
	return c.admin(p, (*streams.Conn).Apply)
}

func (f adminFlags) admin(p process, do func(*streams.Conn, context.Context, streams.Topology) ([]streams.Step, error)) error {
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	conn, err := streams.Dial(streams.Options{URL: f.NATS, NKeySeedFile: f.NKey, Name: "roost admin"})
	if err != nil {
		return cannotStart(err)
	}
	defer conn.Close()
	steps, err := do(conn, ctx, f.topology(f.Replicas))
	for _, s := range steps {
		fmt.Fprintln(p.stdout, s)
	}
	if err == nil && len(steps) == 0 {
		fmt.Fprintln(p.stdout, "nothing to do")
	}
	return err
}
