// Package mongotest gives each test its own MongoDB database.
package mongotest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// URIEnv is the environment variable with the URI of a real MongoDB for tests. The user of
// the URI must be allowed to create and drop databases named roost_test_….
const URIEnv = "ROOST_TEST_MONGO_URI"

// Database returns the URI of a new database on that server. The cleanup of t drops the
// database, after every cleanup that is registered later.
func Database(t *testing.T, uri string) string {
	t.Helper()
	name := "roost_test_" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		// The context of t ends before its cleanup runs.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := drop(ctx, uri, name); err != nil {
			t.Errorf("failed to drop the database %s: %v", name, err)
		}
	})
	return withDatabase(uri, name)
}

func drop(ctx context.Context, uri, name string) error {
	client, err := driver.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	if err := client.Database(name).Drop(ctx); err != nil {
		return err
	}
	return client.Disconnect(ctx)
}

// withDatabase returns the URI with another database name. The old name becomes the
// authSource, unless the URI has one.
func withDatabase(uri, name string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	rest, query, _ := strings.Cut(rest, "?")
	hosts, old, _ := strings.Cut(rest, "/")
	var parameters []string
	if query != "" {
		parameters = append(parameters, query)
	}
	if old != "" && strings.Contains(hosts, "@") && !strings.Contains(strings.ToLower(query), "authsource=") {
		parameters = append(parameters, "authSource="+old)
	}
	uri = scheme + "://" + hosts + "/" + name
	if len(parameters) > 0 {
		uri += "?" + strings.Join(parameters, "&")
	}
	return uri
}
