# Every verb of the project. A fresh machine needs Python 3.11 or newer and make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv/.demo
READY := .venv/.ready
INSTALL := $(BIN)/python -m pip install -qq --no-compile
yes = $(filter-out 0 no false,$(1))
# Schemathesis costs each process seconds, and has no quick test.
QUICK := -m "not slow" -p no:schemathesis --ignore tests/sandbox/test_contract.py
WHICH = $(if $(call yes,$(ALL)),,$(if $(call yes,$(BROWSER)),-m "slow and browser",\
	$(if $(call yes,$(SLOW)),-m "slow and not browser",$(QUICK))))
export PYTHONPATH := openapi
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
unexport PYTHONDONTWRITEBYTECODE  # the tests start Python hundreds of times
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test check regenerate record sandbox soak bench docs picture lock clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(DEMO): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up .venv from requirements.lock (a few seconds, once)"
	@$(PYTHON) -m venv --clear .venv
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(READY): $(DEMO) tests/requirements-dev.lock
	@echo "Adding the tools from tests/requirements-dev.lock (about half a minute, once)"
	@$(INSTALL) --require-hashes -r tests/requirements-dev.lock
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	@$(BIN)/python -m pipeline --prepare || echo "make regenerate will try again; everything else works without"
	@touch $@

demo: $(DEMO)  ## hold one whole chat against the bundled sandbox, step by step
	@$(BIN)/puzzel-chat demo

test: $(READY)  ## run the quick tests, offline, one or more of each promise; ALL=1 runs all, SLOW=1 the others, BROWSER=1 those in Chromium
	@$(BIN)/python -m pytest -n auto --dist worksteal $(WHICH)

check: $(READY)  ## lint, types, layers, known vulnerabilities, and whether generated/ is what the document gives
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/python -m pytest -q tests/unit/test_layers.py
	@$(BIN)/python -m pipeline --check
	@PYTHONPATH=tests $(BIN)/python -m audit

regenerate: $(READY)  ## judge the API's document (SPEC=address or file; OBSERVED=probe.json) and make generated/ from it
	@$(BIN)/python -m pipeline $${SPEC:+"$$SPEC"} $${SPEC_NAME:+--name "$$SPEC_NAME"} $${OBSERVED:+--observed "$$OBSERVED"} \
		$(if $(call yes,$(ACCEPT)),--accept) $(if $(call yes,$(KEEP_ASSUMED)),--keep-assumed) \
		$(if $(call yes,$(JSON)),--json); code=$$?; [ $$code -eq 10 ] || exit $$code

record: $(READY)  ## record the cassettes anew, from the sandbox or the tenant in PUZZEL_CHAT_*
	@$(BIN)/python -m pytest -q tests/replay --record-mode=rewrite

sandbox: $(DEMO)  ## start a local contact centre to talk to (a simulator, not Puzzel)
	@$(BIN)/puzzel-chat sandbox

soak: $(READY)  ## chats under faults, against the ledger; RUN=--help lists the other runs, ARGS=--help their options
	@PYTHONPATH=tests $(BIN)/python -m soak $(or $(RUN),faults) $(ARGS)

bench: $(READY)  ## measure speed beside other clients, two minutes; FULL=1 for all of it, RUN=--help lists the parts
	@PYTHONPATH=tests $(BIN)/python -m benchmarks $(RUN) $(if $(call yes,$(FULL)),--full)

docs: $(READY)  ## write reference, guides and example programs as HTML, and say what to open
	@PYTHONPATH=facade $(BIN)/python -m docs

picture: $(READY)  ## draw the README's picture of the sandbox's desk anew, in Chromium
	@PYTHONPATH=facade $(BIN)/python -m docs.picture

LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links pyproject.toml
$(BIN)/uv:
	@$(MAKE) -s $(READY)

lock: $(BIN)/uv  ## renew both locks after a change of pyproject.toml
	@$(LOCK) --all-extras --group dev -o tests/requirements-dev.lock
	@$(LOCK) --extra cli --extra sandbox --group demo -c tests/requirements-dev.lock -o requirements.lock

clean:  ## remove .venv and caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .regenerate dist build
