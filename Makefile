# `make run` and `make test` need only make and Python 3.11+ (with venv and pip): the rest is
# installed into .venv from the lock files, by hash, and again only where something changed.

# The first of these that works makes .venv; name another with make PYTHON=/path/to/python.
PYTHON ?= python3 python3.13 python3.12 python3.11
ARGS ?=

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test test-slow test-neural test-all check format lock lock-neural-cpu clean FORCE
.PHONY: up work down bench notebooks docs

BIN := .venv/bin
# A stamp is named after what it vouches for and written last, so neither an interrupted
# installation, nor another lock, nor a checkout that was moved or copied, finds a valid one.
sum = $(shell { printf '%s ' '$(CURDIR)'; cat $(1); } | cksum | tr ' ' '-')
VENV_DONE := .venv/made-$(call sum,/dev/null)
RUN_DONE := .venv/installed-run-$(call sum,pyproject.toml requirements.lock)
NEURAL := .venv-neural
DOCS := .venv-docs
NEURAL_LOCKS := requirements-neural.lock requirements-neural-cpu.lock
DEV_DONE := .venv/installed-dev-$(call sum,pyproject.toml requirements.lock requirements-dev.lock)
DOCS_DONE := $(DOCS)/installed-$(call sum,requirements-docs.lock)
NEURAL_DONE := $(NEURAL)/installed-$(call sum,pyproject.toml requirements-dev.lock $(NEURAL_LOCKS))

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

run: $(RUN_DONE) ## write a sample of listening data and take it through the whole chain
	$(BIN)/recsys sample
	$(BIN)/recsys experiment --config default --trials 12 --seed 0

# Two processes, each with a Prefect server, or as many as you say; a file is the work of one.
PROCESSES ?= 2
PYTEST := -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
POSTGRES := $(BIN)/python tests/with_postgres.py --if-installed

test: $(DEV_DONE) ## run the tests that take minutes together; ARGS="-k split" chooses some
	$(BIN)/python $(PYTEST) -m "not slow and not postgres and not neural" $(ARGS)

test-slow: $(DEV_DONE) ## run the others: kills, workers, deployments, PostgreSQL where it is installed
	$(POSTGRES) $(BIN)/python $(PYTEST) -m "slow or postgres" --durations=20 $(ARGS)

test-neural: $(NEURAL_DONE) ## run the tests of the models that need PyTorch, which it installs
	$(NEURAL)/bin/python -m pytest -m neural $(ARGS)

test-all: $(DEV_DONE) test-neural ## run every test, and list the 20 slowest
	$(POSTGRES) $(BIN)/python $(PYTEST) -m "not neural" --durations=20 $(ARGS)

check: $(DEV_DONE) ## formatting, lint, types and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test

bench: $(RUN_DONE) ## measure our speed beside other libraries; ARGS=--quick takes small data
	$(BIN)/python benchmarks/bench.py --json bench.json $(ARGS)

notebooks: $(DEV_DONE) ## execute the notebooks of examples/ and write their outputs again
	$(BIN)/python examples/execute.py

docs: $(DOCS_DONE) ## build the documents and the pages of the code into site/, offline
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict

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
	$(call neural,) | $(COMPILE) - -c requirements-dev.lock -o requirements-neural.lock
	$(COMPILE) --group docs -c requirements-dev.lock -o requirements-docs.lock
	$(COMPILE) docker/requirements.in -c requirements-dev.lock -o docker/requirements.lock

# The build without CUDA, for the Pythons whose files uv finds: tell it where they are, with
# UV_FIND_LINKS or UV_EXTRA_INDEX_URL. PyPI does not have it.
lock-neural-cpu: $(DEV_DONE) ## lock PyTorch without CUDA anew, where uv is told of its files
	$(call neural,+cpu) | $(COMPILE) - -c requirements-dev.lock -c requirements-neural.lock \
	  -o requirements-neural-cpu.lock

# What the extra asks for, a line each; $(1) goes behind the version of torch.
neural = $(BIN)/python -c 'import tomllib; from pathlib import Path; \
  extra = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]; \
  print(*(line + "$(1)" * line.startswith("torch==") for line in extra["neural"]), sep="\n")'

DOCKER := docker compose --env-file docker/.env --file docker/compose.yaml
SECRETS := POSTGRES_PASSWORD STUDIES_PASSWORD PREFECT_PASSWORD MLFLOW_ADMIN_PASSWORD MLFLOW_SECRET_KEY
WORKERS ?= 1

up: docker/.env ## start the servers of a team in containers: docs/team.md
	$(DOCKER) up --detach --build --wait

work: docker/.env ## work on a study in containers: STUDY=name WORKERS=4 ARGS="--plays /data/plays.tsv"
	@test -n '$(STUDY)' || { echo 'Which study? make work STUDY=name' >&2; exit 2; }
	STUDY='$(STUDY)' WORK="$$ARGS" $(DOCKER) --profile study up --detach --no-deps \
	  --scale worker='$(WORKERS)' worker

down: ## stop the containers; what is in their volumes stays
	$(DOCKER) --profile study down

# Secrets are made once, also one that an older file lacks. To change one, change it here and say
# make up; docs/team.md has the rest.
docker/.env: FORCE
	@umask 077 && touch $@ && cp $@ $@.new && for name in $(SECRETS); do \
	  grep -q "^$$name=" $@ || { echo "Wrote a new $$name into $@" >&2; \
	  echo "$$name=$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >> $@.new; }; done; \
	if cmp -s $@ $@.new; then rm $@.new; else mv $@.new $@; \
	echo "Keep a copy of $@ beside your backups"; fi

clean: ## remove the virtual environments and the caches of the tools; data and results under mlruns/ stay
	rm -rf .venv $(NEURAL) $(DOCS) site .mypy_cache .pytest_cache .ruff_cache .hypothesis
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

# The lock holds the build backend too, so that installing recsys needs no network.
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
	@$(BIN)/python -m tests.compiled
	@touch $(RUN_DONE) $@

# What builds the documents reads the code and imports none of it, so it needs nothing of .venv but
# its pip.
$(DOCS_DONE): $(VENV_DONE) requirements-docs.lock
	@echo "Installing mkdocs into $(DOCS)"
	@$(BIN)/python -m venv --clear --without-pip $(DOCS)
	@$(BIN)/python -m pip --python $(DOCS)/bin/python --disable-pip-version-check --quiet install \
	  --no-compile --no-deps --require-hashes -r requirements-docs.lock
	@touch $@

# PyTorch lies beside the packages of .venv, which it sees, so that nothing else ever needs it.
#
# On Linux the PyTorch of PyPI is built for CUDA, is of no use without several GB of libraries,
# which requirements-neural.lock therefore lists, and computes the same on the CPU. PyTorch
# publishes a build without CUDA, on a separate index: requirements-neural-cpu.lock, 0.2 GB.
# It is taken where pip finds it, by PIP_FIND_LINKS (a folder) or PIP_EXTRA_INDEX_URL, and is the
# file of a Python that the lock knows. Elsewhere than on Linux, PyPI's is without CUDA too.
NEURAL_PIP := $(BIN)/python -m pip --python $(NEURAL)/bin/python --disable-pip-version-check \
	--quiet install --no-compile --no-deps --ignore-installed --require-hashes

$(NEURAL_DONE): $(DEV_DONE) $(NEURAL_LOCKS)
	@echo "Installing PyTorch into $(NEURAL)"
	@$(BIN)/python -m venv --clear --without-pip $(NEURAL)
	@$(BIN)/python -c '$(packages); print(f"import site; site.addsitedir({folder!r})")' \
	  > "$$($(NEURAL)/bin/python -c '$(packages); print(folder)')/dev.pth"
	@$(NEURAL_PIP) -r requirements-neural-cpu.lock 2> $(NEURAL)/cpu.log || { \
	  tail -n 1 $(NEURAL)/cpu.log; \
	  echo "PyTorch without CUDA could not be had, see the Makefile: taking that of PyPI"; \
	  $(NEURAL_PIP) -r requirements-neural.lock; }
	@touch $@

packages = import sysconfig; folder = sysconfig.get_path("purelib")

# A .venv whose Python is gone, or is not the one asked for, is made again.
ifneq ($(wildcard $(VENV_DONE)),)
asked := $(if $(filter file,$(origin PYTHON)),$(BIN)/python,$(PYTHON))
ifneq ($(shell [ "$$($(BIN)/python -VV 2>&1)" = "$$($(asked) -VV)" ] && echo same),same)
$(VENV_DONE): FORCE
endif
endif
