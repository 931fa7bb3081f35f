# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

# One command for each thing one does with a checkout. Every command first
# installs what is missing (scripts/install-deps.sh) and configures (the preset
# `release` of CMakePresets.json); the work itself is CMake's and Ninja's.

BUILD := build
JOBS ?= $(shell nproc)
# Debian's own, which has NumPy: never the one a pyenv or a venv puts first.
PYTHON := /usr/bin/python3
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 0
NINJA := cmake --build $(BUILD) -j $(JOBS) --target

.DEFAULT_GOAL := help
.PHONY: help deps build demo check check-wheels check-assemble check-long check-assert check-optimized fuzz bench docs clean

help:
	@echo 'make deps    install the Debian packages that are missing (root or sudo only for that)'
	@echo 'make build   compile everything into $(BUILD)/'
	@echo 'make demo    select blocks and attend over Q, K, V of a real model, next to dense attention'
	@echo 'make check   run all tests (UNISPARSE_TEST_FILTER=REGEX: only the lit tests whose name matches)'
	@echo 'make check-wheels  build both wheels (the compiler linked statically), install them in a bare venv, attend'
	@echo 'make check-long  run what takes longest: random programs and attention, projects that build against this one'
	@echo 'make check-assemble  assemble every kernel for every chip, where there is a ptxas'
	@echo 'make check-assert  run the .mlir tests on a build with assertions, which it makes in build-dev/'
	@echo 'make check-optimized  run test/Execution and test/Python on code that LLVM has optimized throughout, as users have it'
	@echo 'make fuzz    FUZZ_SECONDS (60) each of hostile files, mutated programs and random attention (FUZZ_SEED=N: others)'
	@echo 'make bench   measure speed on this machine'
	@echo 'make docs    write the reference of ops and passes to $(BUILD)/docs'
	@echo 'make clean   delete $(BUILD)/'

deps:
	@scripts/install-deps.sh

$(BUILD)/build.ninja: CMakePresets.json | deps
	cmake --preset release
	@touch $@

build: $(BUILD)/build.ninja
	@$(NINJA) all

demo: $(BUILD)/build.ninja
	@$(NINJA) unisparse-run
	@mkdir -p $(BUILD)/demo
	$(BUILD)/bin/unisparse-run examples/sample.safetensors --compare=dense --map=$(BUILD)/demo/selection.png
	@echo 'The blocks that each head selected: $(BUILD)/demo/selection.png'

check: $(BUILD)/build.ninja
	@rm -rf $(BUILD)/check
	@$(NINJA) all unisparse-unittests
	@$(PYTHON) scripts/check.py --build=$(BUILD) --jobs=$(JOBS)

# What builds wheels, of pip's, in a venv of its own. WHEELS_PYTHON=...: another Python, one with torch say.
WHEELS_PYTHON ?= $(BUILD)/wheels-venv/bin/python

$(BUILD)/wheels-venv/bin/python:
	@$(PYTHON) -m venv --system-site-packages $(BUILD)/wheels-venv
	@$@ -m pip install --quiet 'wheel>=0.40' 'scikit-build-core>=0.8'

check-wheels: $(BUILD)/build.ninja $(WHEELS_PYTHON)
	@$(NINJA) unisparse-compile-static
	@rm -rf $(BUILD)/check-wheels
	@$(WHEELS_PYTHON) test/Install/wheels.py $(BUILD)/check-wheels $(BUILD)

check-assemble: $(BUILD)/build.ninja
	@LIT_OPTS="$$LIT_OPTS -j$(JOBS)" $(NINJA) check-unisparse-assemble

check-long: $(BUILD)/build.ninja
	@$(NINJA) all
	@LIT_OPTS="$$LIT_OPTS -j$(JOBS)" $(NINJA) check-unisparse-long

check-assert: $(BUILD)/build.ninja
	@cmake --preset dev
	@cmake --build build-dev -j $(JOBS) --target unisparse-opt
	@LIT_OPTS="$$LIT_OPTS -j$(JOBS)" $(NINJA) check-unisparse-assert

check-optimized: $(BUILD)/build.ninja
	@LIT_OPTS="$$LIT_OPTS -j$(JOBS)" $(NINJA) check-unisparse-optimized

fuzz: $(BUILD)/build.ninja
	@scripts/install-deps.sh --fuzz
	@$(NINJA) unisparse-opt unisparse-run unisparse-compile unisparse-fuzzers
	@$(PYTHON) scripts/fuzz.py --build=$(BUILD) --jobs=$(JOBS) --seconds=$(FUZZ_SECONDS) --seed=$(FUZZ_SEED)

bench: $(BUILD)/build.ninja
	@scripts/install-deps.sh --bench
	@$(NINJA) unisparse-run
	@$(PYTHON) benchmarks/cpu.py --run=$(BUILD)/bin/unisparse-run

docs: $(BUILD)/build.ninja
	@$(NINJA) unisparse-doc
	@echo 'Reference pages: $(BUILD)/docs'

clean:
	rm -rf $(BUILD)
