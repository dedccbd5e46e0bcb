# `make run` and `make test` need only make and Python 3.11+ (with venv and pip): the rest is
# installed into .venv from the lock files, by hash, and again only where something changed.

# The first of these that works makes .venv; name another with make PYTHON=/path/to/python.
PYTHON ?= python3 python3.13 python3.12 python3.11
ARGS ?=

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test test-postgres check format lock clean FORCE

BIN := .venv/bin
# A stamp is named after what it vouches for and written last, so neither an interrupted
# installation, nor another lock, nor a checkout that was moved or copied, finds a valid one.
sum = $(shell { printf '%s ' '$(CURDIR)'; cat $(1); } | cksum | tr ' ' '-')
VENV_DONE := .venv/made-$(call sum,/dev/null)
RUN_DONE := .venv/installed-run-$(call sum,pyproject.toml requirements.lock)
DEV_DONE := .venv/installed-dev-$(call sum,pyproject.toml requirements.lock requirements-dev.lock)

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

run: $(RUN_DONE) ## write a sample of listening data and take it through the whole chain
	$(BIN)/recsys sample
	$(BIN)/recsys experiment --config default --trials 12 --seed 0

test: $(DEV_DONE) ## run the tests; ARGS="-k split" chooses some
	$(BIN)/python -m pytest $(ARGS)

test-postgres: $(DEV_DONE) ## run the tests that need PostgreSQL, on a server of their own
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m pytest -m postgres $(ARGS)

check: $(DEV_DONE) ## formatting, lint, types and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(ARGS)

format: $(DEV_DONE) ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# pip reads every line of the result: extras stay on (pip before 24 would look elsewhere for
# them), and no address is written, so any mirror will do.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate --no-strip-extras \
	$(if $(UPGRADE),--upgrade)

lock: $(DEV_DONE) ## write the lock files anew; UPGRADE=1 takes the newest versions allowed
	$(COMPILE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove .venv and the caches of the tools; data and results under mlruns/ stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find recsys tasks flows tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV_DONE):
	@for python in $(PYTHON); do \
	  if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	    2>/dev/null; then \
	    echo "Making .venv with $$($$python --version)"; \
	    $$python -m venv --clear .venv && touch $@; exit; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer with venv and pip among: $(PYTHON)." \
	  "Install one, or name yours: make PYTHON=/path/to/python" >&2; exit 1

# The lock holds the build backend too, so that installing ourselves asks nobody for anything.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --compile --no-deps
define install
@echo "Installing $(1) into .venv (minutes where nothing is there yet)"
@rm -f .venv/installed-*
@$(PIP) --require-hashes -r $(1)
@$(PIP) --no-index --no-build-isolation -e .
endef

$(RUN_DONE): $(VENV_DONE)
	$(call install,requirements.lock)
	@touch $@

# What the tests need includes what a run needs, in the same versions.
$(DEV_DONE): $(VENV_DONE)
	$(call install,requirements-dev.lock)
	@touch $(RUN_DONE) $@

# A .venv whose Python is gone, or is not the one asked for, is made again.
ifneq ($(wildcard $(VENV_DONE)),)
asked := $(if $(filter file,$(origin PYTHON)),$(BIN)/python,$(PYTHON))
ifneq ($(shell [ "$$($(BIN)/python -VV 2>&1)" = "$$($(asked) -VV)" ] && echo same),same)
$(VENV_DONE): FORCE
endif
endif
