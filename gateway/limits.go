package gateway

// Limits on what one user, connection or address may do. An address is an IPv4 address
// or the /64 of an IPv6 address. In every field 0 means
// no limit; [DefaultLimits] is what an operator gets who says nothing.
type Limits struct {
	ConnectionsPerUser    int     // open at a time, on this gateway
	ConnectionsPerAddress int     // open at a time, on this gateway
	FramesPerSecond       float64 // a connection; more are read later
	SendsPerSecond        float64 // a connection; more are refused with rate_limited
	LoginsPerSecond       float64 // an address, POST /accounts and /sessions together
}

// DefaultLimits suit people who type. They leave room for a device that comes
// back after a month: it sends one frame a message.
func DefaultLimits() Limits {
	return Limits{
		ConnectionsPerUser:    12,
		ConnectionsPerAddress: 1000,
		FramesPerSecond:       1000,
		SendsPerSecond:        50,
		LoginsPerSecond:       5,
	}
}
