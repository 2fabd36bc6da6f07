package gateway

// Limits on what one user, connection or address may do. An address is an IPv4 address
// or the /64 of an IPv6 address. In every field 0 means no limit. Package cmd has the
// defaults of the flags.
type Limits struct {
	ConnectionsPerUser    int     // open at a time, on this gateway
	ConnectionsPerAddress int     // open at a time, on this gateway
	FramesPerSecond       float64 // a connection; more are read later
	SendsPerSecond        float64 // a connection; more are refused with rate_limited
	LoginsPerSecond       float64 // an address, POST /accounts and /sessions together
}
