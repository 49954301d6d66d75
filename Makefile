# What is run before a push, and by the continuous build: `make`.
#
# Every target works on a machine with Go and nothing else, but for those of Docker.

GO            ?= go
GOLANGCI      ?= $(shell $(GO) env GOPATH)/bin/golangci-lint
GOLANGCI_VERSION := v2.15.0
COMPOSE       ?= docker-compose
COUNT         ?= 6

.PHONY: all
all: fmt-check vet fix-check lint test

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | \
		awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: fmt-check
fmt-check: ## fail if a file is not as gofmt writes it
	@files=$$(gofmt -l cmd harness linearizability nemesis node workloads); \
		test -z "$$files" || { echo "not gofmt'ed:"; echo "$$files"; exit 1; }

.PHONY: fmt
fmt: ## write every file as gofmt would
	gofmt -w cmd harness linearizability nemesis node workloads

.PHONY: vet
vet: ## go vet
	$(GO) vet ./...

.PHONY: fix-check
fix-check: ## fail if go fix knows a newer, clearer way
	@out=$$($(GO) fix -diff -stringsbuilder=false ./... 2>&1) || true; \
		test -z "$$out" || { echo "$$out"; exit 1; }

.PHONY: tidy-check
tidy-check: ## fail if go.mod or go.sum are not tidy
	$(GO) mod tidy -diff

.PHONY: lint
lint: ## golangci-lint; see .golangci.yml
	@test -x "$(GOLANGCI)" || { echo "golangci-lint is missing; make tools"; exit 1; }
	"$(GOLANGCI)" run ./...

.PHONY: tools
tools: ## install the linter
	$(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

.PHONY: test
test: ## everything; Docker tests run where an engine answers
	$(GO) test -race -p 1 ./...

.PHONY: short
short: ## what takes no time
	$(GO) test -short ./...

.PHONY: bench
bench: ## benchmarks, for benchstat; COUNT=6
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) ./...

.PHONY: bench-node
bench-node: node ## the node beside etcd and hashicorp/raft, in alternating rounds; takes minutes
	cd node/bench && $(GO) run . -raftnode $(CURDIR)/bin/raftnode

.PHONY: bench-check
bench-check: ## the checker beside plain porcupine, on the same histories; takes minutes
	$(GO) run ./linearizability/bench

FUZZTIME ?= 30s

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) \
				-fuzzminimizetime 10x $$pkg; \
		done; \
	done

.PHONY: build
build: ## bin/raftcheck
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/raftcheck ./cmd/raftcheck

.PHONY: node
node: ## bin/raftnode, static, for an image
	CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -ldflags='-s -w' -o bin/raftnode ./cmd/raftnode

.PHONY: image
image: node ## the image of a raftnode; needs no registry
	docker build --target prebuilt -t raftcheck-node .

MUTANTS ?= B02 B03 B27 C06 C16
TRIES   ?= 3

.PHONY: mutants
mutants: build ## plant each of MUTANTS in the node and show that it is found within TRIES runs
	@missed=; for name in $(MUTANTS); do found=; \
		image=$$(bin/raftcheck mutants build $$name) || exit 1; \
		for try in $$(seq $(TRIES)); do \
			code=0; bin/raftcheck test --quiet --image $$image || code=$$?; \
			if [ $$code = 1 ]; then found=$$try; break; fi; \
			if [ $$code -gt 2 ]; then exit $$code; fi; \
		done; \
		if [ -n "$$found" ]; then echo "$$name: found in run $$found"; \
		else echo "$$name: NOT FOUND in $(TRIES) runs"; missed="$$missed $$name"; fi; \
	done; test -z "$$missed" || { echo "missed:$$missed"; exit 1; }

.PHONY: five
five: ## the peers of the five-node cluster of docker-compose.yml
	@echo n1=172.30.77.11,n2=172.30.77.12,n3=172.30.77.13,n4=172.30.77.14,n5=172.30.77.15

.PHONY: compose-up
compose-up: node ## five nodes to try by hand, at localhost:7101 to 7105
	RAFTCHECK_PEERS=$$($(MAKE) -s five) $(COMPOSE) --profile five up -d --build

.PHONY: compose-down
compose-down: ## remove them and their disks
	$(COMPOSE) --profile five down -v

.PHONY: ci
ci: ## what the continuous build does
	.ci/run

.PHONY: clean
clean: ## remove what was built; runs stay
	rm -rf bin
