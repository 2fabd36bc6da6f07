package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// CapacityInputs are the costs on one machine, and the load of all machines.
type CapacityInputs struct {
	// Measured on one machine.
	CPUPerMessage float64 // ms of one core: accepted, delivered, acknowledged, receipted, removed
	CPUPerConnect float64 // ms of one core, hello to drained
	Memory        float64 // KiB resident for each connection
	// Machines.
	Cores    int
	RAM      float64 // GiB
	Headroom float64 // share of a machine to keep free, 0 to below 1
	Replicas int     // copies of every message
	// The load.
	Users       float64 // a day
	Messages    float64 // of each user a day
	PeakSends   float64 // a second, of all users
	Connections float64 // at once
	Sessions    float64 // of each user a day: connects
	Receivers   float64 // devices that get a message
}

// Capacity is the number of machines for a load, and its derivation.
type Capacity struct {
	DailyMessages    float64 // a day
	AverageSends     float64 // a second
	Connects         float64 // a second, on average
	MessageCores     float64 // busy with messages at peak, all copies included
	ConnectCores     float64 // busy with connects at the average
	MemoryTotal      float64 // GiB for connections
	MachinesCPU      int
	MachinesMemory   int
	Machines         int    // the larger one
	Bound            string // the scarce resource: "processors" or "memory"
	SendsPerMachine  float64
	PerMachineOnline float64 // connections
}

const secondsPerDay = 86_400

// Compute does the arithmetic of docs/capacity.md. It refuses inputs that are not
// positive, and a headroom of 1 or more.
func (in CapacityInputs) Compute() (Capacity, error) {
	for _, v := range []float64{in.CPUPerMessage, in.CPUPerConnect, in.Memory, float64(in.Cores), in.RAM, float64(in.Replicas),
		in.Users, in.Messages, in.PeakSends, in.Connections, in.Sessions, in.Receivers} {
		if !(v > 0) || math.IsInf(v, 0) {
			return Capacity{}, errors.New("every input must be above 0")
		}
	}
	if !(in.Headroom >= 0 && in.Headroom < 1) {
		return Capacity{}, errors.New("--headroom must be at least 0 and below 1")
	}
	var c Capacity
	c.DailyMessages = in.Users * in.Messages
	c.AverageSends = c.DailyMessages / secondsPerDay
	c.Connects = in.Users * in.Sessions / secondsPerDay
	c.MessageCores = in.PeakSends * in.Receivers * in.CPUPerMessage / 1000 * float64(in.Replicas)
	c.ConnectCores = c.Connects * in.CPUPerConnect / 1000
	c.MemoryTotal = in.Connections * in.Memory / (1 << 20)
	usable := 1 - in.Headroom
	c.MachinesCPU = int(math.Ceil((c.MessageCores + c.ConnectCores) / (float64(in.Cores) * usable)))
	c.MachinesMemory = int(math.Ceil(c.MemoryTotal / (in.RAM * usable)))
	c.Machines, c.Bound = c.MachinesCPU, "processors"
	if c.MachinesMemory > c.MachinesCPU {
		c.Machines, c.Bound = c.MachinesMemory, "memory"
	}
	c.SendsPerMachine = in.PeakSends / float64(c.Machines)
	c.PerMachineOnline = in.Connections / float64(c.Machines)
	return c, nil
}

// PeakFor returns the sends a second at peak, factor times the average of users who each send
// a number of messages a day.
func PeakFor(users, messages, factor float64) float64 {
	return users * messages / secondsPerDay * factor
}

// FromReport takes over the figures of a report of `roost bench all`. Inputs without a figure
// do not change.
func (in *CapacityInputs) FromReport(r *Report) {
	closed := false // the first closed loop counts: 50 pairs × 16 in a report of all
	for i := range r.Results {
		result := &r.Results[i]
		switch {
		case result.Name == "closed" && !closed:
			closed = true
			take(&in.CPUPerMessage, result, FigureCPU)
		case result.Name == "idle":
			take(&in.Memory, result, FigureMemory)
			take(&in.CPUPerConnect, result, FigureConnectCPU)
		}
	}
}

func take(into *float64, r *Result, name string) {
	if v, ok := r.Figure(name); ok && v > 0 {
		*into = v
	}
}

// WriteCapacity writes one column for each load.
func WriteCapacity(w io.Writer, in CapacityInputs, names []string, loads []Capacity) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "one machine\t%d cores, %s GiB, %.0f%% kept free\n", in.Cores, number(in.RAM), 100*in.Headroom)
	fmt.Fprintf(t, "measured\t%s ms of CPU a message, %s ms a connect, %s KiB a connection\n", number(in.CPUPerMessage), number(in.CPUPerConnect), number(in.Memory))
	fmt.Fprintf(t, "copies of a message\t%d\n\n", in.Replicas)
	line := func(name string, of func(Capacity) string) {
		fmt.Fprint(t, name)
		for _, c := range loads {
			fmt.Fprintf(t, "\t%s", of(c))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "load")
	for _, name := range names {
		fmt.Fprintf(t, "\t%s", name)
	}
	fmt.Fprintln(t)
	line("messages a day", func(c Capacity) string { return number(c.DailyMessages) })
	line("sends/s on average", func(c Capacity) string { return number(c.AverageSends) })
	line("connects/s on average", func(c Capacity) string { return number(c.Connects) })
	line("cores for messages at peak", func(c Capacity) string { return number(c.MessageCores) })
	line("cores for connects", func(c Capacity) string { return number(c.ConnectCores) })
	line("GiB for connections", func(c Capacity) string { return number(c.MemoryTotal) })
	line("machines by processors", func(c Capacity) string { return fmt.Sprint(c.MachinesCPU) })
	line("machines by memory", func(c Capacity) string { return fmt.Sprint(c.MachinesMemory) })
	line("machines", func(c Capacity) string { return fmt.Sprintf("%d (%s)", c.Machines, c.Bound) })
	line("sends/s at peak of each", func(c Capacity) string { return number(c.SendsPerMachine) })
	line("connections of each", func(c Capacity) string { return number(c.PerMachineOnline) })
	return t.Flush()
}
