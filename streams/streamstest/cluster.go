package streamstest

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster starts n nodes in this process, which are stopped with the test, and
// returns the URL of all. They sync as embedded servers by default do if always is
// set, else once a minute.
func Cluster(t testing.TB, n int, always bool) (urls string) {
	t.Helper()
	dir := t.TempDir()
	ports, routes := make([]int, n), make([]*url.URL, n)
	for i := range n {
		ports[i] = FreePort(t)
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", ports[i])}
	}
	nodes := make([]*server.Server, n)
	all := make([]string, n)
	for i := range n {
		node, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("node", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: filepath.Join(dir, fmt.Sprint(i)), SyncAlways: always, SyncInterval: time.Minute,
			Cluster: server.ClusterOpts{Name: "roost", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		go node.Start()
		t.Cleanup(func() {
			node.Shutdown()
			node.WaitForShutdown()
		})
		nodes[i] = node
	}
	for i, node := range nodes {
		if !node.ReadyForConnections(Timeout) {
			t.Fatalf("node %d does not start", i)
		}
		all[i] = node.ClientURL()
	}
	until := time.Now().Add(Timeout)
	for !leads(nodes) {
		if time.Now().After(until) {
			t.Fatal("the cluster has no leader")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return strings.Join(all, ",")
}

// leads says whether the cluster has a meta leader that all nodes follow.
func leads(nodes []*server.Server) bool {
	for _, node := range nodes {
		if node.JetStreamIsLeader() && len(node.JetStreamClusterPeers()) == len(nodes) {
			return true
		}
	}
	return false
}
