package cmd

import (
	"context"
	"fmt"
	"os"

	"roost/bench"
)

// Capacity is `roost capacity`: how many machines a load takes. The default costs are the
// targets of one machine; docs/capacity.md explains the arithmetic.
type Capacity struct {
	Report string `help:"JSON report of roost bench; its figures replace the next three flags." type:"path" placeholder:"FILE"`

	CPUPerMessage float64 `name:"cpu-per-message" help:"Milliseconds of one core for a message." default:"0.10"`
	CPUPerConnect float64 `name:"cpu-per-connect" help:"Milliseconds of one core for a connect." default:"0.4"`
	Memory        float64 `help:"KiB of memory for a connection." default:"16"`

	Cores    int     `help:"Cores of a machine." default:"16"`
	RAM      float64 `name:"ram" help:"GiB of memory of a machine." default:"64"`
	Headroom float64 `help:"Share of a machine to keep free, 0 to below 1." default:"0.5"`
	Replicas int     `help:"Copies of every message." default:"3"`

	Users       float64   `help:"Users of a day." default:"100000000"`
	Messages    []float64 `help:"Messages a user sends in a day; one column for each value." default:"20,50"`
	PeakFactor  float64   `help:"The peak rate, as a multiple of the average." default:"4"`
	Peak        float64   `help:"One more column: sends a second at peak, with the highest of --messages." default:"230000"`
	Connections float64   `help:"Connections at once." default:"10000000"`
	Sessions    float64   `help:"Connects of each user in a day." default:"10"`
	Receivers   float64   `help:"Devices that get a message." default:"1"`
}

// Run implements `roost capacity`.
func (c Capacity) Run(ctx context.Context, p Process) error {
	in := bench.CapacityInputs{CPUPerMessage: c.CPUPerMessage, CPUPerConnect: c.CPUPerConnect, Memory: c.Memory,
		Cores: c.Cores, RAM: c.RAM, Headroom: c.Headroom, Replicas: c.Replicas,
		Users: c.Users, Connections: c.Connections, Sessions: c.Sessions, Receivers: c.Receivers}
	if c.Report != "" {
		file, err := os.Open(c.Report)
		if err != nil {
			return cannotStart(fmt.Errorf("--report: %w", err))
		}
		defer file.Close()
		report, err := bench.ReadReport(file)
		if err != nil {
			return cannotStart(fmt.Errorf("--report: %w", err))
		}
		in.FromReport(report)
	}
	var names []string
	var loads []bench.Capacity
	add := func(name string, messages, peak float64) error {
		in.Messages, in.PeakSends = messages, peak
		load, err := in.Compute()
		names, loads = append(names, name), append(loads, load)
		return err
	}
	for _, n := range c.Messages {
		peak := bench.PeakFor(c.Users, n, c.PeakFactor)
		if err := add(fmt.Sprintf("%v a user, peak %.0f/s", n, peak), n, peak); err != nil {
			return cannotStart(err)
		}
	}
	most := 0.0
	for _, n := range c.Messages {
		most = max(most, n)
	}
	if err := add(fmt.Sprintf("peak %.0f/s", c.Peak), most, c.Peak); err != nil {
		return cannotStart(err)
	}
	return bench.WriteCapacity(p.Stdout, in, names, loads)
}
