# Everything a developer or CI does with this repository. `make help` lists it.

GO      ?= go
BIN     := bin
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
VERSION := $(shell git describe --tags --dirty 2>/dev/null)
PKG     := github.com/trafficpolicy/trafficpolicy
LDFLAGS := -s -w -X $(PKG)/internal/version.commit=$(COMMIT) -X $(PKG)/internal/version.version=$(VERSION)
SOAK    ?= 20

# Packages whose tests need a kernel (root, nftables, eBPF, network namespaces).
KERNEL_PKGS := ./backends/nftables/... ./backends/ebpf/... ./internal/kerneltest/... ./internal/netlab/... ./internal/dnslab/... ./internal/names/... ./internal/agree/... ./internal/mutate/... ./cmd/tploader/...

.PHONY: help build cross test test-kernel lint fmt-check generate generate-check golden fuzz bench bench-kernel agree mutate soak demo clean deps deps-test

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

build: ## Build bin/trafficpolicy and, on Linux, bin/tploader
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/trafficpolicy $(if $(filter linux,$(shell $(GO) env GOOS)),./cmd/tploader)

cross: ## Cross-build every platform we ship, to check that it builds
	@set -e; for os in linux darwin windows; do for arch in amd64 arm64; do \
	  echo "trafficpolicy $$os/$$arch"; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/trafficpolicy; done; done
	@set -e; for arch in amd64 arm64; do echo "tploader linux/$$arch"; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -o /dev/null ./cmd/tploader; done

deps: ## Install what demo needs from the system (nftables, iproute2), when root
	@scripts/deps

deps-test: ## Install what tests need from the system (nftables, iproute2, knot), when root
	@scripts/deps --tests

test: deps-test ## Run all tests; those that need a kernel run when root
	$(GO) test -timeout 20m ./...

test-kernel: deps-test ## Run the tests that need a kernel; a skip is a failure
	TRAFFICPOLICY_REQUIRE_KERNEL=1 $(GO) test -count=1 $(KERNEL_PKGS)

lint: fmt-check ## Formatting, vet and staticcheck
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fmt-check:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "not formatted (run gofmt -w):"; echo "$$out"; exit 1; fi

generate: ## Regenerate generated files (eBPF objects: needs clang-14, llvm-14, libbpf-dev)
	@cc=$$(scripts/clang) && BPF2GO_CC=$$cc $(GO) generate ./...

generate-check: ## Fail where generated files are not what their source makes, if clang-14 is there
	@scripts/generated

golden: ## Rewrite golden files and the examples in the docs; read the diff before you commit
	UPDATE=1 $(GO) test ./cmd/... ./compiler/... ./verify/... ./backends/... ./internal/report/... ./docs/...

FUZZTIME ?= 10s
fuzz: ## Run every fuzz target for FUZZTIME (10s)
	@scripts/fuzz $(FUZZTIME)

bench: ## Run the benchmarks (benchstat format)
	$(GO) test -run '^$$' -bench . -benchmem ./...

BENCHTIME ?= 1s
bench-kernel: ## Run the benchmarks of the eBPF program (root; benchstat format)
	TRAFFICPOLICY_REQUIRE_KERNEL=1 $(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 2h ./backends/ebpf/bpf

SEED ?= 0
N    ?= 2000
agree: deps-test ## Compare every reading of N policy sets from SEED on (a twentieth of them with real packets)
	TRAFFICPOLICY_AGREE_SEED=$(SEED) TRAFFICPOLICY_AGREE_SETS=$(N) TRAFFICPOLICY_WIRE_SETS=$$(( ($(N) + 19) / 20 )) \
	$(GO) test -count=1 -v -timeout 12h -run '^(TestAgree|TestWire)$$' ./internal/agree/... | grep -v '^=== \|^ *--- PASS: .*seed'

SETS ?= 200
mutate: deps-test ## Change artifacts and policies everywhere, one place at a time, and see whether verify notices
	TRAFFICPOLICY_MUTATE_ALL=1 TRAFFICPOLICY_MUTATE_SETS=$(SETS) TRAFFICPOLICY_REQUIRE_KERNEL=1 $(GO) test -count=1 -v -timeout 12h ./internal/mutate

soak: deps-test ## Run the random and kernel tests SOAK (20) times as long
	TRAFFICPOLICY_SOAK=$(SOAK) $(GO) test -count=1 -timeout 12h ./...

demo: deps build ## Guide's policies in namespaces: lint, simulate, compile, apply, real packets
	@$(GO) run ./internal/demo -bin $(BIN)

clean: ## Remove what was built
	rm -rf $(BIN)
