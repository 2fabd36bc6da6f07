// Package origin finds out where a request comes from: the address of the client, also
// through trusted proxies, and the origin of the web page.
//
// [Proxies] find the client of a request. A [Policy] decides which web pages may use the
// server, over HTTP and over WebSocket, and answers preflight requests.
//
// The package starts no goroutine. Headers of peers that are not trusted proxies are ignored.
// A header that does not parse counts as absent, so a client cannot choose its own address.
package origin
