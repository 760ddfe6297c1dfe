# `make` alone lists what there is.
export PYTHON ?= python3
TOOLS := .venv-tools
BIN := .venv/bin
LOCK := uv.lock pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help run test check up down bench docs clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

run: .venv/.installed ## Run every service in one process; data in ./var
	@exec $(BIN)/postroom serve

test: .venv/.installed-dev ## Run all tests; installs and runs RabbitMQ and PostgreSQL for itself
	@$(BIN)/python -m tests.run $(ARGS)

check: .venv/.installed-dev ## Lint, types, import rules, documents, packaging
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m postroom.reference --check docs/settings.md
	@UV="$$(.ci/uv $(TOOLS))" .ci/packaging

up: ## Build and start everything in containers
	@$(COMPOSE) up -d --build

down: ## Stop the containers; volumes and the mail in them stay
	@$(COMPOSE) down

bench: .venv/.installed-dev ## Measure Postroom and Postfix in one run
	@$(BIN)/python -m bench $(ARGS)

docs: .venv/.installed-dev ## Write docs/settings.md anew from the settings classes
	@$(BIN)/python -m postroom.reference docs/settings.md

clean: ## Remove the environments (not ./var)
	@rm -rf .venv $(TOOLS) .mypy_cache .ruff_cache .import_linter_cache

COMPOSE = $$(docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.venv/.installed: $(LOCK)
	@"$$(.ci/uv $(TOOLS))" sync --frozen --quiet --extra all --no-dev --inexact --python $(PYTHON)
	@touch $@

.venv/.installed-dev: $(LOCK)
	@"$$(.ci/uv $(TOOLS))" sync --frozen --quiet --extra all --python $(PYTHON)
	@touch .venv/.installed $@
