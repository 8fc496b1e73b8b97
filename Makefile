# The front door: every target is one line to meson, ninja or a script in tools/. `make` lists them.

PREFIX ?= /usr/local
BUILD ?= build

.DEFAULT_GOAL := help
.PHONY: help deps build check check-long check-mongod demo bench fuzz soak conformance install format tidy clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r t d; do printf '  make %-14s %s\n' "$$t" "$$d"; done

deps: ## install what building, the demo and the tests need
	@tools/deps check

build: ## build eclose and its libraries into build/
	@tools/deps build
	@test -e $(BUILD)/build.ninja || meson setup --prefix=$(PREFIX) $(BUILD)
	@ninja -C $(BUILD)

check: ## build with gcc and clang, run every test that takes no quarter of an hour
	@tools/deps check
	@tools/check

check-long: ## the same, and the long tests, on each of the test servers
	@tools/deps long
	@tools/check --long

check-mongod: ## the live tests on the mongod on the PATH, as a one-node replica set
	@tools/deps check
	@tools/check-mongod

demo: ## a collection changes its shape while an application writes to it
	@tools/deps demo
	@tools/task demo tools/demo

bench: ## measure; medians and ratios of one run
	@tools/deps check
	@tools/task bench bench/run

fuzz: ## search for inputs that break the parsers (TIME=seconds for each target)
	@tools/deps check
	@tools/task fuzz tests/fuzz/run

soak: ## a backfill for minutes, with everything killed all the time
	@tools/deps check
	@tools/task soak tests/integration/soak.py

conformance: ## the engine against the cases of MongoDB's language
	@tools/deps check
	@tools/task conformance suite:

install: build ## into PREFIX (/usr/local), below DESTDIR if that is set
	@meson configure --prefix=$(PREFIX) $(BUILD)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild

format: ## clang-format on all C files
	@git ls-files '*.c' '*.h' | xargs --no-run-if-empty clang-format -i

tidy: build ## clang-tidy on all C files of src: opinions, not a check
	@git ls-files 'src/*.c' | xargs --no-run-if-empty clang-tidy --quiet -p $(BUILD)

clean: ## remove what was built here (what tools/deps installed stays)
	@rm -rf $(BUILD) build-check
