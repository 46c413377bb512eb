# "make help" tells what there is to do. Building, running and testing need Go
# and the Go module proxy, and nothing else; every other tool is pinned by a
# module file of its own under tools/ and built when it is first asked for.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO      ?= go
tool     = $(GO) tool -modfile=tools/$(1)/go.mod $(1)
EXE     := $(shell $(GO) env GOEXE)

# pebble brings zstd in C where there is a C compiler, which takes longer to
# compile than the broker; it is the same in Go.
export GOFLAGS := $(strip $(GOFLAGS) -tags=pebblegozstd)

# The version that is stamped into the broker; empty leaves it to Go.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  = $(if $(VERSION),-X main.version=$(VERSION))

PLUGINS := $(patsubst plugins/%/main.go,%,$(wildcard plugins/*/main.go))

# What "make run" is given; "make run ARGS='--log-level debug'" adds to it.
CONFIG  ?= examples/quickstart/gatehouse.yaml
ARGS    ?=

# How long "make fuzz" stays with each target, and with how many at once.
FUZZTIME ?= 10m
FUZZJOBS ?= 1

# Which benchmarks run how often, for benchstat.
BENCH   ?= .
COUNT   ?= 6

CROSS   ?= darwin/arm64 windows/amd64

.PHONY: help
help: ## Print this list
	@echo "usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Building and running

.PHONY: build
build: broker $(PLUGINS:%=plugin-%) ## Build the broker and its plugins into bin/

.PHONY: broker
broker:
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/broker$(EXE) ./cmd/broker

# A plugin's folder holds its program and plugin.json, which is what the program
# says of itself.
.PHONY: $(PLUGINS:%=plugin-%)
$(PLUGINS:%=plugin-%): plugin-%:
	@mkdir -p bin/plugins/$*
	$(GO) build -o bin/plugins/$*/$*$(EXE) ./plugins/$*
	@bin/plugins/$*/$*$(EXE) describe > bin/plugins/$*/plugin.json.new
	@mv bin/plugins/$*/plugin.json.new bin/plugins/$*/plugin.json

.PHONY: run
run: build ## Build everything and serve on 127.0.0.1:1883 with examples/quickstart
	@exec bin/broker$(EXE) serve --config $(CONFIG) --plugin-dir bin/plugins $(ARGS)

# Systems to release for, such as linux/arm/v7; empty is all of them.
TARGETS ?=

.PHONY: release
release: ## Build archives and packages of VERSION for TARGETS into bin/release
	VERSION='$(VERSION)' contrib/package/build $(TARGETS)

.PHONY: clean
clean: ## Remove what was built; data stays
	rm -rf bin

## Testing

.PHONY: test
test: ## Run the tests
	$(GO) test ./...

# Which packages and tests "make race" takes and leaves out; RACE_FLAGS=-short has
# models take fewer steps.
RACE_PACKAGES ?= ./...
RACE_RUN      ?= .
RACE_SKIP     ?=
RACE_FLAGS    ?=

.PHONY: race
race: ## Run the tests under the race detector
	$(GO) test -race -vet=off -timeout 30m $(RACE_FLAGS) -run '$(RACE_RUN)' -skip '$(RACE_SKIP)' $(RACE_PACKAGES)

.PHONY: cover
cover: ## Run the tests and tell how much of the code they reach
	@mkdir -p bin
	$(GO) test -coverpkg=./... -coverprofile=bin/cover.out ./...
	$(GO) tool cover -html=bin/cover.out -o bin/cover.html
	@$(GO) tool cover -func=bin/cover.out | tail -n 1
	@echo "line by line: bin/cover.html"

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME each (10m)
	@grep -r --include='*_test.go' --exclude-dir=test --exclude-dir=node_modules -oE '^func Fuzz[A-Za-z0-9_]+' . | sort | \
	sed 's/[^/]*:func / /' | GO='$(GO)' xargs -L 1 -P $(FUZZJOBS) sh -c ' \
		echo "fuzz $$0 $$1 for $(FUZZTIME)"; \
		said=$$($$GO test -vet=off -run "^$$" -fuzz "^$$1$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$0" 2>&1 </dev/null); status=$$?; \
		echo "$$said"; exit $$status'

# A time instead of a number can end in the middle of an execution, which Go takes
# for a failure. Most of what this takes is linking, which has one thread.
.PHONY: fuzz-short
fuzz-short: ## Fuzz every target for 2,000 executions
	@$(MAKE) --no-print-directory fuzz FUZZTIME=2000x FUZZJOBS=2

.PHONY: bench
bench: ## Run benchmarks into bin/bench.txt; OLD=FILE compares with an earlier result
	@mkdir -p bin
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... > bin/bench.txt || { cat bin/bench.txt; exit 1; }
	$(call tool,benchstat) $(OLD) bin/bench.txt

.PHONY: bench-peers
bench-peers: ## Compare with other brokers into bin/bench-peers.md; PEERS="-scenarios pairs -runs 3" for less
	$(GO) build -o bin/bench-peers ./internal/bench
	bin/bench-peers $(PEERS)

# What is killed is chosen by the seed that a run prints; ARGS='-seed N' repeats it.
# A broker whose disk fails and is slow on demand, for nothing but this.
.PHONY: chaos-build
chaos-build: build
	$(GO) build -tags pebblegozstd,faults -o bin/broker-faults$(EXE) ./cmd/broker
	$(GO) build -o bin/chaos ./internal/chaos

.PHONY: chaos
chaos: chaos-build ## Kill the broker 1,000 times, its plugins and its clients, damage its disk, and prove that nothing is lost
	bin/chaos $(ARGS)

.PHONY: chaos-short
chaos-short: chaos-build ## Kill the broker 60 times
	bin/chaos -kills 60 -queue-memory 2KiB $(ARGS)

.PHONY: soak
soak: build ## Four hours of messages while clients and plugins break; memory has to stay flat
	$(GO) build -o bin/chaos ./internal/chaos
	bin/chaos -broker bin/broker -soak 4h $(ARGS)

## Checking

.PHONY: lint
lint: ## Run golangci-lint, go vet's checks among them, and buf lint
	$(call tool,golangci-lint) run
	cd test && $(GO) tool -modfile=../tools/golangci-lint/go.mod golangci-lint run
	$(call tool,golangci-lint) fmt --diff
	$(call tool,buf) lint
	$(call tool,buf) format --diff --exit-code

.PHONY: fmt
fmt: ## Format all Go code and the contract
	$(call tool,golangci-lint) fmt
	$(call tool,buf) format -w

.PHONY: cross
cross: ## Compile and vet everything for other systems
	@for target in $(CROSS); do \
		echo "cross $$target"; \
		export CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/}; \
		$(GO) build ./... && $(GO) vet ./... || exit 1; \
	done

.PHONY: vuln
vuln: ## Look for known vulnerabilities; skipped where their database can't be reached
	@tools/govulncheck/run $(call tool,govulncheck) ./...

## Generated code

.PHONY: proto
proto: ## Generate Go code from proto/, and copy the contract to where Node reads it
	$(call tool,buf) generate
	cp proto/gatehouse/plugin/v1/*.proto examples/plugins/node-interceptor/gatehouse/proto/gatehouse/plugin/v1/
	@command -v grpc_python_plugin >/dev/null && $(MAKE) --no-print-directory proto-python || \
	echo "proto: Python's code is as it was; make proto-python needs Debian's protobuf-compiler-grpc"

# Debian's protoc, so that the code runs with Debian's python3-grpcio.
PYTHON_OUT ?= examples/plugins/python-validator

.PHONY: proto-python
proto-python: ## Generate Python code from proto/, with Debian's protobuf-compiler and protobuf-compiler-grpc
	protoc -I proto --python_out=$(PYTHON_OUT) --grpc_python_out=$(PYTHON_OUT) \
		--plugin=protoc-gen-grpc_python=$$(command -v grpc_python_plugin) proto/gatehouse/plugin/v1/*.proto

.PHONY: check-generated
check-generated: ## Generate again, elsewhere, and fail if proto/ holds anything else
	@rm -rf bin/_generated # a name that "./..." passes over
	$(call tool,buf) generate -o bin/_generated
	diff -r -x '*.proto' bin/_generated/proto proto

# What the contract of the last release promised must stay so.
.PHONY: breaking
breaking: ## Compare the contract in proto/ with that of the last release
	@last=$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null) || \
	{ echo "breaking: there is no release to compare with yet"; exit 0; }; \
	$(call tool,buf) breaking --against ".git#tag=$$last"
