# "make help" tells what there is to do. Building, running and testing need Go
# and the Go module proxy, and nothing else; every other tool is pinned by a
# module file of its own under tools/ and built when it is first asked for.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO      ?= go
tool     = $(GO) tool -modfile=tools/$(1)/go.mod $(1)
EXE     := $(shell $(GO) env GOEXE)

# The version that is stamped into the broker; empty leaves it to Go.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  = $(if $(VERSION),-X main.version=$(VERSION))

PLUGINS := $(patsubst plugins/%/main.go,%,$(wildcard plugins/*/main.go))

# What "make run" is given; "make run ARGS='--log-level debug'" adds to it.
CONFIG  ?= examples/quickstart/gatehouse.yaml
ARGS    ?=

# How long "make fuzz" stays with each target.
FUZZTIME ?= 10m

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

# Which packages and tests "make race" takes.
RACE_PACKAGES ?= ./...
RACE_RUN      ?= .

.PHONY: race
race: ## Run the tests under the race detector
	$(GO) test -race -timeout 30m -run '$(RACE_RUN)' $(RACE_PACKAGES)

.PHONY: cover
cover: ## Run the tests and tell how much of the code they reach
	@mkdir -p bin
	$(GO) test -coverpkg=./... -coverprofile=bin/cover.out ./...
	$(GO) tool cover -html=bin/cover.out -o bin/cover.html
	@$(GO) tool cover -func=bin/cover.out | tail -n 1
	@echo "line by line: bin/cover.html"

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME each (10m)
	@targets=$$($(GO) test -list '^Fuzz' ./...) && \
	echo "$$targets" | awk '/^Fuzz/ { name[++n] = $$1 } /^ok/ { while (n) print $$2, name[n--] }' | \
	while read -r package target; do \
		echo "fuzz $$package $$target for $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null || exit 1; \
	done

.PHONY: fuzz-short
fuzz-short: ## Fuzz every target for 2,000 executions
	@$(MAKE) --no-print-directory fuzz FUZZTIME=2000x # a time can end in the middle of one, which Go takes for a failure

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
.PHONY: chaos
chaos: build ## Kill the broker 1,000 times, its plugins and its clients, and prove that nothing is lost
	$(GO) build -o bin/chaos ./internal/chaos
	bin/chaos $(ARGS)

.PHONY: chaos-short
chaos-short: build ## Kill the broker 60 times
	$(GO) build -o bin/chaos ./internal/chaos
	bin/chaos -kills 60 $(ARGS)

.PHONY: soak
soak: build ## Four hours of messages while clients and plugins break; memory has to stay flat
	$(GO) build -o bin/chaos ./internal/chaos
	bin/chaos -soak 4h $(ARGS)

## Checking

.PHONY: lint
lint: ## Run go vet, golangci-lint and buf lint
	$(GO) vet ./...
	$(call tool,golangci-lint) run
	cd test && $(GO) vet ./... && $(GO) tool -modfile=../tools/golangci-lint/go.mod golangci-lint run
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
