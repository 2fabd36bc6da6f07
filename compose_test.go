package main

import (
	"errors"
	"go/build"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.yaml.in/yaml/v3"

	"roost/cmd"
	"roost/streams"
)

// composeFile is docker-compose.yml; a key that no field names is an error, and
// so the fields are what the file uses, not all there is.
type composeFile struct {
	Name     string
	Services map[string]composeService
	Secrets  map[string]struct{ File string }
	Volumes  map[string]any
	Networks map[string]struct{ Internal bool }
	Parts    map[string]any `yaml:",inline"` // x-…
}

type composeService struct {
	Image           string
	Build           string
	Command         []string
	User            string
	Environment     map[string]string
	Volumes         []string
	Secrets         []string
	Ports           []string
	Networks        []string
	ReadOnly        bool     `yaml:"read_only"`
	CapDrop         []string `yaml:"cap_drop"`
	SecurityOpt     []string `yaml:"security_opt"`
	StopSignal      string   `yaml:"stop_signal"`
	StopGracePeriod string   `yaml:"stop_grace_period"`
	Restart         string
	DependsOn       map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck     *struct {
		Test     []string
		Interval string
		Timeout  string
		Retries  int
	}
}

var (
	composeVariable = regexp.MustCompile(`\$\{([A-Z_]+)[^}]*\}`)
	envLine         = regexp.MustCompile(`(?m)^([A-Z_]+)=(.*)$`)
	natsVariable    = regexp.MustCompile(`\$([A-Z_]+)\b`)
)

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// composed reads docker-compose.yml with the values of .env.example, and where
// that has none, one that would do.
func composed(t *testing.T) composeFile {
	t.Helper()
	values, used := make(map[string]string), make(map[string]bool)
	for _, m := range envLine.FindAllStringSubmatch(readText(t, ".env.example"), -1) {
		if values[m[1]] = m[2]; m[2] == "" {
			values[m[1]] = "U123"
		}
	}
	text := composeVariable.ReplaceAllStringFunc(readText(t, "docker-compose.yml"), func(v string) string {
		name := composeVariable.FindStringSubmatch(v)[1]
		if _, ok := values[name]; !ok {
			t.Errorf(".env.example lacks %s", name)
		}
		used[name] = true
		return values[name]
	})
	for name := range values {
		if !used[name] {
			t.Errorf("docker-compose.yml does not use %s of .env.example", name)
		}
	}
	var file composeFile
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for name := range file.Parts {
		if !strings.HasPrefix(name, "x-") {
			t.Errorf("docker-compose.yml has an unknown key %s", name)
		}
	}
	return file
}

// TestCompose: every file, flag, variable and name in docker-compose.yml exists,
// and nothing in it is there for nothing.
func TestCompose(t *testing.T) {
	file := composed(t)
	secrets, volumes, networks := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for name, s := range file.Services {
		for other, on := range s.DependsOn {
			needed, ok := file.Services[other]
			switch {
			case !ok:
				t.Errorf("%s depends on %s, which is not there", name, other)
			case on.Condition == "service_healthy" && needed.Healthcheck == nil:
				t.Errorf("%s waits for the health of %s, which has no check", name, other)
			case on.Condition == "service_completed_successfully" && needed.Restart != "no":
				t.Errorf("%s waits for the end of %s, which is restarted", name, other)
			case on.Condition != "service_healthy" && on.Condition != "service_completed_successfully":
				t.Errorf("%s depends on %s by %q", name, other, on.Condition)
			}
		}
		for _, secret := range s.Secrets {
			secrets[secret] = true
		}
		for _, network := range s.Networks {
			networks[network] = true
		}
		for _, volume := range s.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(from, "./") {
				volumes[from] = true
			} else if _, err := os.Stat(from); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s.Build != "" {
			checkRoost(t, name, s)
		}
	}
	same(t, "secrets", secrets, file.Secrets)
	same(t, "volumes", volumes, file.Volumes)
	same(t, "networks", networks, file.Networks)
	howTo := readText(t, ".env.example")
	for name, secret := range file.Secrets {
		if !strings.Contains(howTo, strings.TrimPrefix(secret.File, "./")) {
			t.Errorf(".env.example does not say what %s, the secret %s, is", secret.File, name)
		}
	}
}

// checkRoost parses the command of a container as roost does.
func checkRoost(t *testing.T, name string, s composeService) {
	t.Helper()
	var cli commands
	parser, err := kong.New(&cli, cmd.FlagVars, kong.Name("roost"), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(s.Command)
	if err != nil {
		t.Errorf("%s: roost %s: %v", name, strings.Join(s.Command, " "), err)
		return
	}
	known := make(map[string]bool)
	for _, flag := range command.Flags() {
		for _, env := range flag.Envs {
			known[env] = true
		}
	}
	for env := range s.Environment {
		if !known[env] {
			t.Errorf("%s: %s is no variable of roost %s", name, env, command.Command())
		}
	}
	for _, arg := range s.Command {
		if _, path, ok := strings.Cut(arg, "=/run/secrets/"); ok && !slices.Contains(s.Secrets, path) {
			t.Errorf("%s: %s is not given to it", name, arg)
		}
	}
	if s.User == "" || !s.ReadOnly || len(s.CapDrop) == 0 {
		t.Errorf("%s may do more than it needs", name)
	}
}

// same compares what is used with what is declared.
func same[A, B any](t *testing.T, what string, used map[string]A, declared map[string]B) {
	t.Helper()
	u, d := slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(declared))
	if !slices.Equal(u, d) {
		t.Errorf("%s: %v are used, %v are declared", what, u, d)
	}
}

// TestComposeNATS reads nats.conf with the environment of the composed nodes.
func TestComposeNATS(t *testing.T) {
	conf := readText(t, "nats.conf")
	wanted := make(map[string]bool)
	for line := range strings.Lines(conf) {
		code, _, _ := strings.Cut(line, "#")
		for _, m := range natsVariable.FindAllStringSubmatch(code, -1) {
			if strings.HasPrefix(m[1], "ROOST_") {
				wanted[m[1]] = true
			}
		}
	}
	nodes := 0
	for name, s := range composed(t).Services {
		if !strings.HasPrefix(s.Image, "nats:") {
			continue
		}
		nodes++
		same(t, name+": variables of nats.conf", wanted, s.Environment)
		for variable, value := range s.Environment {
			if strings.HasPrefix(variable, "ROOST_NKEY_") {
				value, _ = newNKey(t)
			}
			t.Setenv(variable, value)
		}
		o, err := natsserver.ProcessConfigFile("nats.conf")
		if err != nil {
			t.Fatal(err)
		}
		hosts := make(map[string]bool)
		for _, route := range o.Routes {
			hosts[route.Hostname()] = true
			if password, _ := route.User.Password(); password != o.Cluster.Password || route.User.Username() != o.Cluster.Username {
				t.Errorf("%s: the route to %s has not the password of the cluster", name, route.Hostname())
			}
		}
		if o.ServerName != name || !hosts[name] || len(hosts) != 3 || !o.SyncAlways || o.MaxPayload != 1<<20 ||
			o.JetStreamMaxStore != 20<<30 || o.HTTPHost != "127.0.0.1" || o.SystemAccount != "SYS" || o.NoAuthUser != "" {
			t.Errorf("%s: %+v", name, o)
		}
		if !slices.Contains(s.Volumes, name+":"+o.StoreDir) {
			t.Errorf("%s: the streams in %s are on no volume of %v", name, o.StoreDir, s.Volumes)
		}
	}
	if nodes != 3 {
		t.Errorf("%d nodes", nodes)
	}
}

// TestComposeDockerfile: what Dockerfile copies is there, and is all that the
// binary is made of.
func TestComposeDockerfile(t *testing.T) {
	copied := make(map[string]bool)
	for line := range strings.Lines(readText(t, "Dockerfile")) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "COPY" || strings.HasPrefix(fields[1], "--from") {
			continue
		}
		for _, from := range fields[1 : len(fields)-1] {
			if found, err := filepath.Glob(from); err != nil || len(found) == 0 {
				t.Errorf("Dockerfile copies %s, which is not there", from)
			}
			copied[from] = true
		}
	}
	seen := make(map[string]bool)
	var visit func(dir string)
	visit = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		if top, _, _ := strings.Cut(dir, "/"); dir != "." && !copied[top] {
			t.Errorf("Dockerfile does not copy %s, which the binary needs", top)
		}
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range pkg.Imports {
			if inner, ok := strings.CutPrefix(imported, "roost/"); ok {
				visit(inner)
			}
		}
	}
	visit(".")
	if len(seen) < 5 {
		t.Errorf("only %d packages were found", len(seen))
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readText(t, "go.mod"))[1]
	if want := "FROM golang:" + goVersion + "-"; !strings.Contains(readText(t, "Dockerfile"), want) {
		t.Errorf("Dockerfile does not build %s", want)
	}
}

func newNKey(t *testing.T) (public string, seed []byte) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, errPublic := key.PublicKey()
	seed, err = key.Seed()
	if err := errors.Join(err, errPublic); err != nil {
		t.Fatal(err)
	}
	return public, seed
}

// TestClusterRoles tries what each role may not do, and what it may though
// TestCluster has no need of it.
func TestClusterRoles(t *testing.T) {
	c := startCluster(t, 1)
	c.apply(streams.Topology{Partitions: 1})
	if _, err := nats.Connect(c.urls()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a key: %v", err)
	}
	api := func(verbs ...string) []string {
		for i := range verbs {
			verbs[i] = "$JS.API." + verbs[i]
		}
		return verbs
	}
	nobody := append(api("STREAM.CREATE.NEW", "STREAM.UPDATE.INBOX_0", "STREAM.DELETE.INBOX_0", "STREAM.DELETE.MESSAGES",
		"STREAM.PURGE.KV_GATEWAYS", "STREAM.MSG.DELETE.KV_BLOCKS", "STREAM.MSG.DELETE.KV_DEVICES", "STREAM.MSG.GET.INBOX_0",
		"STREAM.PURGE.KV_GROUPS", "STREAM.MSG.DELETE.KV_GROUPS", "STREAM.MSG.DELETE.KV_MEMBERSHIPS", "STREAM.MSG.GET.KV_MEMBERSHIPS",
		"STREAM.SNAPSHOT.INBOX_0", "STREAM.RESTORE.NEW", "DIRECT.GET.MESSAGES", "CONSUMER.CREATE.MESSAGES",
		"CONSUMER.CREATE.MESSAGES.x.msg.>", "CONSUMER.DURABLE.CREATE.MESSAGES.x", "CONSUMER.DURABLE.CREATE.INBOX_0.x", "CONSUMER.DELETE.MESSAGES.mirror", "CONSUMER.CREATE.CHANNELS.x.channel.>", "CONSUMER.CREATE.KV_ACCOUNTS.x.$KV.ACCOUNTS.>"),
		"$SYS.REQ.SERVER.PING", "_INBOX.roost-gateway.x", "_INBOX.roost-admin.x")
	notWorkers := append(api("STREAM.MSG.DELETE.INBOX_0", "DIRECT.GET.INBOX_0", "DIRECT.GET.INBOX_0.inbox.>",
		"DIRECT.GET.CHANNELS", "DIRECT.GET.CHANNELS.channel.x.message", "STREAM.MSG.DELETE.CHANNELS",
		"DIRECT.GET.KV_ACCOUNTS.$KV.ACCOUNTS.x", "DIRECT.GET.KV_RECEIPTS", "DIRECT.GET.KV_GROUPS.$KV.GROUPS.x"),
		"sent.0.x.x", "inbox.0.x.x", "channel.x.message", "msg.x", "evt.x", "svc.history.page", "svc.history.chats", "$KV.SETTINGS.x", "$KV.ACCOUNTS.x", "$KV.MEMBERSHIPS.x.x", "$KV.BLOCKS.x")
	notWorkers = append(notWorkers, api("CONSUMER.CREATE.INBOX_0.x.inbox.>", "CONSUMER.MSG.NEXT.INBOX_0.x", "CONSUMER.DELETE.INBOX_0.x")...)
	for _, role := range []struct {
		name                    string
		may, publish, subscribe []string
	}{
		{"gateway",
			append(api("CONSUMER.DELETE.KV_DEVICES.x", "CONSUMER.DELETE.KV_SETTINGS.x", "CONSUMER.DELETE.KV_BLOCKS.x", "CONSUMER.DELETE.KV_GATEWAYS.x",
				"CONSUMER.CREATE.INBOX_0.x.inbox.0.x.x", "CONSUMER.MSG.NEXT.INBOX_0.x", "CONSUMER.DELETE.INBOX_0.x"),
				"$JS.FC.KV_DEVICES.x.1", "$JS.ACK.INBOX_0.x.1.1.1.1.0", "$JS.ACK._.account.INBOX_0.x.1.1.1.1.0"),
			append(api("CONSUMER.MSG.NEXT.MESSAGES.mirror", "CONSUMER.INFO.MESSAGES.mirror", "CONSUMER.LIST.MESSAGES",
				"STREAM.PURGE.MESSAGES", "STREAM.PURGE.KV_DEVICES"),
				"$JS.ACK.MESSAGES.mirror.1.1.1.1.0", "$JS.ACK._.account.MESSAGES.mirror.1.1.1.1.0"),
			[]string{">", "_INBOX.>", "_INBOX.roost-worker.>", "inbox.>", "msg.>", "evt.>", "svc.history.page", "svc.history.chats", "$KV.>", "$JS.API.>"}},
		{"worker",
			append(api("CONSUMER.DELETE.KV_DEVICES.x", "CONSUMER.DELETE.KV_BLOCKS.x", "CONSUMER.DELETE.KV_GATEWAYS.x", "CONSUMER.DELETE.KV_GROUPS.x",
				"CONSUMER.DELETE.KV_MEMBERSHIPS.x", "STREAM.PURGE.INBOX_0", "STREAM.PURGE.KV_RECEIPTS",
				"DIRECT.GET.KV_SESSIONS.$KV.SESSIONS.x.x"), "live.0.x.x", "$KV.DEVICES.x", "$KV.SESSIONS.x.x", "$KV.GROUPS.x",
				"$JS.FC.KV_DEVICES.x.1", "$JS.ACK.MESSAGES.mirror.1.1.1.1.0", "$JS.ACK._.account.MESSAGES.mirror.1.1.1.1.0"),
			notWorkers,
			[]string{">", "_INBOX.>", "_INBOX.roost-gateway.>", "inbox.>", "msg.>", "live.>", "evt.session.>", "$KV.>", "$JS.API.>"}},
		{"services", nil,
			slices.Concat(notWorkers, api("INFO", "STREAM.INFO.MESSAGES", "STREAM.NAMES", "STREAM.INFO.INBOX_0", "STREAM.PURGE.MESSAGES", "STREAM.PURGE.INBOX_0"), []string{"live.0.x.x", "$KV.GROUPS.x"}),
			[]string{">", "_INBOX.>", "inbox.>", "live.>", "sent.>", "svc.>", "$KV.>", "$JS.>"}},
	} {
		nc := c.raw(role.name)
		for _, subject := range role.may {
			if err := errors.Join(nc.Publish(subject, nil), nc.FlushTimeout(timeout), nc.LastError()); err != nil {
				t.Errorf("%s may not publish to %s: %v", role.name, subject, err)
			}
		}
		denied := func(what, subject string, err error) {
			t.Helper()
			if err == nil {
				err = nc.FlushTimeout(timeout) // the server answers in order
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), strconv.Quote(subject)) {
				t.Errorf("%s may %s %s", role.name, what, subject)
			}
		}
		for _, subject := range slices.Concat(role.publish, nobody) {
			denied("publish to", subject, nc.Publish(subject, []byte("{}")))
		}
		for _, subject := range role.subscribe {
			_, err := nc.SubscribeSync(subject)
			denied("subscribe to", subject, err)
		}
	}
}
