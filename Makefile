# Everything a person or a build machine does with this checkout. Needs Python 3.11+, make and git; the rest is fetched.
# Handing arguments on: make demo ARGS="--headless --days 60 --seed 1", make test ARGS="tests/domain -x" SLOW=1

BIN := .venv/bin
ARGS ?=
SLOW ?=
WORKERS ?= 2
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint check bench results docs messages lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: ## .venv with everything for working on Recoup
	@scripts/setup dev

demo: ## A small company's failed renewals, recovered before your eyes (ARGS="--headless --days 60 --seed 1")
	@scripts/setup runtime
	@$(BIN)/recoup demo $(ARGS)

test: ## The test suite on SQLite and PostgreSQL (SLOW=1 for the long runs, ARGS for pytest)
	@scripts/setup dev
	@scripts/machine
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(if $(SLOW),--slow) $(ARGS)

lint: ## Format, lint, types, floors
	@scripts/setup dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src tests
	$(BIN)/lint-imports

check: lint test ## What must be green before a change lands: lint, then the test suite

bench: ## Measure speed and memory (ARGS for the runner)
	@scripts/setup dev
	@scripts/machine
	@$(BIN)/python -m benchmarks $(ARGS)

results: ## Play our policies against all others in every world, write docs/results.md
	@scripts/setup dev
	@nice $(BIN)/python scripts/results.py $(ARGS)

docs: ## Write docs/generated from the code itself, then check every link
	@scripts/setup dev
	@$(BIN)/python scripts/docs.py
	@$(BIN)/pytest -p no:cacheprovider tests/test_docs.py

messages: ## Take what customers read out of the source and bring every language's catalogue up to date
	@scripts/setup dev
	@$(BIN)/python scripts/messages.py

.PHONY: contact-sheet
contact-sheet: ## Draw every message in every language: pictures and text twins in docs/messages
	@scripts/setup dev
	@$(BIN)/python scripts/contact_sheet.py

.PHONY: pictures
pictures: ## Take the dashboard's pictures in docs/pictures anew, from the demo's company (ARGS for names)
	@scripts/setup dev
	@scripts/machine
	@$(BIN)/python scripts/pictures.py $(ARGS)

lock: ## Remake the hashed locks from pyproject.toml (UPGRADE=1 for newer versions)
	@scripts/setup tools
	@UV_SYSTEM_CERTS=1 $(COMPILE) pyproject.toml -o requirements.lock
	@UV_SYSTEM_CERTS=1 $(COMPILE) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	@UV_SYSTEM_CERTS=1 $(COMPILE) requirements-tools.in -c requirements-dev.lock -o requirements-tools.lock

clean: ## Remove .venv, caches and build products
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
