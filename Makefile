# The commands of the project: `make help` lists them. They need Go, make and git,
# and for the race detector a C compiler; the tools that tools/go.mod names are
# built into bin/ from the Go module proxy.

GO       ?= go
FUZZTIME ?= 30s
# Longest time for the tests of one package.
TIMEOUT  ?= 20m
# make soak: how many random histories, and after which time it begins no more.
HISTORIES ?= 100000
SOAKTIME  ?= 4h
# make soak: how long the steady load takes that follows.
STEADY    ?= 1h
# Packages built and tested at once.
P        ?= 2
# Empty where there is no C compiler; make test RACE= leaves the detector out.
RACE     ?= $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

.DEFAULT_GOAL := help
MAKEFLAGS     += --no-print-directory
SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c

# find names what it is not to enter: folders that the go command skips too.
prune := -type d \( -name '.?*' -o -name testdata -o -name vendor -o -name node_modules \) -prune -o

.PHONY: help run build test check browser-deps fmt fuzz bench microbench kill soak proxies clean tools

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the whole server in one process, from the sources
	$(GO) run . serve

build: ## bin/roost
	$(GO) build -trimpath -o bin/roost .

# vet and staticcheck see the code as the tests build it, so that dependencies are
# compiled once. A module that go test fails to load counts as one failure.
test: check browser-deps ## check, then all tests of all modules with the race detector, seeds of fuzz tests included
	@$(if $(RACE),,echo 'test: no C compiler, so without the race detector')
	@rm -rf bin/test; mkdir -p bin/test; status=0; \
	for mod in $$(find . $(prune) -name go.mod -print | sort); do \
		dir=$$(dirname $$mod); name=$${dir#./}; name=$${name//\//-}; vet=; \
		case $$dir in \
		.) name=root; vet=-vet=off;; \
		*) [ -n "$$(find $$dir -name '*_test.go' -print -quit)" ] || continue;; \
		esac; \
		echo "test: $$dir"; \
		( cd $$dir && $(CURDIR)/bin/gotestsum --format pkgname --jsonfile $(CURDIR)/bin/test/$$name.json -- \
			$(RACE) -p $(P) -count=1 -timeout $(TIMEOUT) $$vet ./... ) || status=1; \
	done; \
	bin/tally bin/test/*.json || status=1; \
	exit $$status

# Whether or not this works out, the test says what is missing: it is skipped, or fails with CI=true.
browser-deps: ## Chromium for TestBrowser, where root and apt-get can install it
	@for name in chromium chromium-browser google-chrome; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then exit 0; fi; \
	mkdir -p bin; echo 'browser-deps: installs Chromium'; \
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } \
		</dev/null >bin/browser-deps.log 2>&1 || \
		{ tail -5 bin/browser-deps.log; echo 'browser-deps: Chromium could not be installed; see bin/browser-deps.log'; }

check: fmt tools ## gofmt, import directions, words, go vet, staticcheck
	bin/imports tools/imports.txt
	bin/words tools/words.txt
	$(GO) vet $(RACE) ./...
	GOFLAGS="$$($(GO) env GOFLAGS) $(RACE)" bin/staticcheck ./...

fmt:
	@list=$$(find . $(prune) -name '*.go' -print0 | xargs -0r gofmt -l); \
	if [ -n "$$list" ]; then echo "not formatted with gofmt:"; echo "$$list"; exit 1; fi

fuzz: ## each fuzz target for FUZZTIME (30s)
	@mkdir -p bin; status=0; \
	$(GO) test -vet=off -list '^Fuzz' ./... > bin/fuzz.list; \
	awk '/^Fuzz/ { t[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, t[i]; n = 0 }' bin/fuzz.list > bin/fuzz.targets; \
	[ -s bin/fuzz.targets ] || { echo 'fuzz: no target'; exit 1; }; \
	while read -r pkg target; do \
		echo "fuzz: $$pkg $$target"; \
		$(GO) test -vet=off -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg </dev/null || status=1; \
	done < bin/fuzz.targets; \
	exit $$status

# BENCH takes flags: make bench BENCH='--duration 3s --many 5000'.
bench: build ## the report against the targets: bin/bench/report.html, .json and .txt
	@mkdir -p bin/bench
	bin/roost bench --data-dir bin/bench --json bin/bench/report.json --html bin/bench/report.html $(BENCH) | tee bin/bench/report.txt

microbench: ## Go benchmarks into bin/bench.txt; OLD=file compares with an earlier one
	@mkdir -p bin
	$(GO) test -vet=off -run '^$$' -bench . -benchmem -p 1 ./... | tee bin/bench.txt
	@$(if $(OLD),$(GO) -C tools build -o ../bin/ golang.org/x/perf/cmd/benchstat && bin/benchstat $(OLD) bin/bench.txt)

kill: tools ## the kill -9 test, 20 times
	@mkdir -p bin/test; status=0; \
	bin/gotestsum --format testname --jsonfile bin/test/kill.json -- \
		-vet=off -run TestKill -count=20 -timeout 1h . || status=1; \
	bin/tally bin/test/kill.json || status=1; \
	exit $$status

# The whole output is in bin/test/soak.log, also what plays a history again that failed,
# and in bin/test/steady.log; bin/bench/steady.html has the plots of the load.
soak: build ## random histories against the model: HISTORIES (100000), at most for SOAKTIME (4h); then a steady load for STEADY (1h)
	@mkdir -p bin/test bin/bench
	@$(GO) test $(RACE) -vet=off -count=1 -v -run '^TestModel$$' -timeout 0 ./gateway \
		-histories $(HISTORIES) -histories-for $(SOAKTIME) > bin/test/soak.log 2>&1 || \
		{ grep -v 'rapid\] draw' bin/test/soak.log | tail -200; echo 'soak: failed; see bin/test/soak.log'; exit 1; }
	@grep -E 'TestModel: |^ok' bin/test/soak.log
	@bin/roost bench steady --duration $(STEADY) --data-dir bin/bench --json bin/bench/steady.json --html bin/bench/steady.html 2>&1 | \
		tee bin/test/steady.log

# RUNLEVEL=1 keeps Debian from starting the proxies as services.
proxies: ## nginx, HAProxy, Caddy and Apache from Debian, in front of Roost as docs/operations.md prints them
	@sudo=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
	$$sudo apt-get update -q; \
	$$sudo env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nginx-light haproxy caddy apache2
	PROXIES=required $(GO) test $(RACE) -vet=off -count=1 -v -run '^TestProxies$$' .

clean: ## removes bin/
	rm -rf bin

# Always asked for: go build itself knows what is up to date.
tools:
	@$(GO) -C tools build -o ../bin/ ./imports ./words ./tally \
		honnef.co/go/tools/cmd/staticcheck gotest.tools/gotestsum
