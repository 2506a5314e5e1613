# Everything a developer types. `make` alone lists it.

# A tree that git does not trust (another user's, an archive) has no revision to stamp.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
GOBUILD := go build -buildvcs=$(VCS)
FUZZTIME ?= 10s
MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help run build test race check lint fmt bench torture fuzz setup clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## start Tuma on embedded defaults; ARGS='--listen 127.0.0.1:9090 --fresh'
	@sh scripts/setup.sh run
	@exec bin/tuma dev $(ARGS)

build: ## compile bin/tuma
	$(GOBUILD) -o bin/tuma ./cmd/tuma

test: setup check ## every test, the same as CI
	go test ./...

race: setup ## every test under the race detector (needs a C compiler, takes longer)
	go test -race ./...

check: ## format, vet, staticcheck, go.mod, house rules: all that needs no server
	@unformatted=$$(gofmt -l $$(find . -name '*.go' -not -path './.tools/*')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt does it):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff
	go test .

lint: check ## the same as check

fmt: ## format all Go files
	gofmt -w $$(find . -name '*.go' -not -path './.tools/*')

bench: build ## measure USSD steps and payments per second; ARGS='--json'
	@sh scripts/setup.sh test
	bin/tuma bench ussd $(ARGS)

torture: build ## a country under faults for MINUTES=10, compared with people's own account; ARGS='--seed 7'
	@sh scripts/setup.sh test
	bin/tuma simulate --customers 10000 --agents 200 --rate 60 --speed 100 --faults all --every 10s --duration $(MINUTES)m $(ARGS)

fuzz: ## run every fuzz target for FUZZTIME=10s
	@sh scripts/fuzz.sh $(FUZZTIME)

setup: ## install what the tests need and the machine lacks
	@sh scripts/setup.sh test

clean: ## remove what was built (no data)
	rm -rf bin
