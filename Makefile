# Everything runs from .venv, which `make setup` makes and keeps up to date. See `make help`.
PYTHON ?= python3
BIN := .venv/bin
# A machine whose NVIDIA driver answers gets TensorFlow with CUDA.
GPU := $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu)
COMMA := ,
# Messages name these as `make VERB`.
export GRIDLESS_MAKE := ui sync report
# Ctrl-C is no error of a target: the shell outlives it, and what it ended says 130.
RUN := trap : INT; $(BIN)/gridless
STOPPED := || { code=$$?; [ $$code -eq 130 ] || exit $$code; }
COMPOSE := docker compose --file docker/compose.yaml
SERVICE := worker$(GPU:%=-%)
PYTEST = $(BIN)/pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist worksteal
FLAGS = $(if $(TRIALS),--n-trials $(TRIALS)) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(TIMEOUT),--timeout $(TIMEOUT)) \
	$(if $(WORKERS),--workers $(WORKERS)) $(if $(SEED),--seed $(SEED)) $(if $(NAME),--name $(NAME)) \
	$(if $(OBJECTIVE),--objective $(OBJECTIVE)) $(ARGS)

# A mistyped variable would change nothing, silently.
VARIABLES := AREA ARGS DATA EPOCHS GPU MODEL NAME OBJECTIVE PYTHON SEED STUDIES SUITE TIMEOUT TRIALS WORKERS
UNREAD := $(firstword $(filter-out $(VARIABLES) MAKEFLAGS MAKEOVERRIDES SHELL,\
	$(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))))
nearest = $(shell $(PYTHON) -c 'import difflib, sys; print(*difflib.get_close_matches(sys.argv[1], sys.argv[2:], 1, 0.5))' $1)
meant = $(patsubst %,did you mean %?,$(call nearest,$1))
$(if $(UNREAD),$(error $(UNREAD) is no variable of any target; $(or $(call meant,$(shell echo $(UNREAD) | tr a-z A-Z) $(VARIABLES)),known: $(VARIABLES))))
# What a target can't do without is missed before anything is installed.
demand = $(if $(filter $1,$(MAKECMDGOALS)),$(if $(strip $2),,$(error $3)))
$(call demand,study submit,$(MODEL),MODEL is missing: make $(MAKECMDGOALS) MODEL=convNN DATA=fashion)
$(call demand,study submit,$(DATA),DATA is missing: make $(MAKECMDGOALS) MODEL=$(MODEL) DATA=fashion)
$(call demand,bench,$(SUITE),SUITE is missing: make bench SUITE=documents)
$(call demand,compare,$(SUITE)$(STUDIES),SUITE is missing: make compare SUITE=documents)
$(call demand,report,$(NAME),NAME is missing: make report NAME=convNN-fashion)

TARGETS := help setup study bench compare report sync ui models datasets up submit down \
	check test test-quick test-docker test-ui measure release clean
.PHONY: $(TARGETS)

.DEFAULT:
	@echo "$(strip make: there is no target $@; $(call meant,$@ $(TARGETS)) make help explains them all)" >&2; exit 2

help: ## Explain every target
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

setup: .venv/installed ## Make the environment (done by every other target; quick when nothing changed)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "venv is missing: apt-get install python3-venv"; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing TensorFlow and the rest into .venv (3 GB the first time, some minutes) …" >&2
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.$(GPU:%=[%])' >&2
	@touch $@

.venv/developed: .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev$(GPU:%=$(COMMA)%)]' >&2
	@touch $@

study: setup ## Search: make study MODEL=convNN DATA=fashion [OBJECTIVE= TRIALS= EPOCHS= TIMEOUT= WORKERS= SEED= NAME= ARGS=]
	@$(RUN) study $(MODEL) $(DATA) $(FLAGS) $(STOPPED)

bench: setup ## Run a suite of searches or fixed settings and compare: make bench SUITE=quick [ARGS="--epochs 5 --only mlp"]
	@$(RUN) bench $(SUITE) $(ARGS) $(STOPPED)

compare: setup ## Compare studies, or a suite that was run: make compare STUDIES="mlp-fashion convNN-fashion" or SUITE=documents
	@$(BIN)/gridless compare $(or $(SUITE),$(STUDIES)) $(ARGS)

report: setup ## Write a study's leaderboard and report again: make report NAME=convNN-fashion
	@$(BIN)/gridless report $(NAME)

sync: setup ## Bring to MLflow what it lacks of a study, or of all: make sync [NAME=convNN-fashion]
	@$(BIN)/gridless sync $(NAME)

ui: setup ## Open the MLflow UI, at a study if one is named: make ui [NAME=convNN-fashion]
	@$(RUN) ui $(NAME) $(ARGS) $(STOPPED)

models: setup ## List the models
	@$(BIN)/gridless models $(ARGS)

datasets: setup ## List the data sets
	@$(BIN)/gridless datasets $(ARGS)

up: ## Start PostgreSQL, MLflow and workers in containers; the first time also makes their passwords: make up [WORKERS=2]
	@docker/secrets.sh && docker/gpu-locks.sh && $(COMPOSE) --profile $(or $(GPU),cpu) up --detach --build --wait --scale $(SERVICE)=$(or $(WORKERS),1)
	@echo "MLflow: http://$$($(COMPOSE) port mlflow 5000), user gridless, password in docker/secrets/mlflow_password"

submit: ## Put a study on the containers' queue: make submit MODEL=convNN DATA=fashion [OBJECTIVE= TRIALS= EPOCHS= TIMEOUT= SEED= NAME= ARGS=]
	@$(COMPOSE) run --rm cli submit $(MODEL) $(DATA) $(FLAGS)

down: ## Stop the containers; studies, runs and MLflow's data stay in their volumes
	@$(COMPOSE) --profile '*' down

check: .venv/developed ## Lint, format, types, layers, container files
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/hadolint docker/Dockerfile && $(BIN)/kubernetes-validate --strict docker/kubernetes-job.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml

test: .venv/developed ## Run the tests: make test [AREA=report ARGS="-k curve"]
	$(PYTEST) $(AREA:%=tests/%) $(ARGS)

test-quick: .venv/developed ## Run the tests that neither train nor start servers
	$(PYTEST) -m "not slow" $(AREA:%=tests/%) $(ARGS)

test-docker: .venv/developed ## Build the images and test the whole stack through kills, where a Docker engine is there
	GRIDLESS_TEST_DOCKER=1 $(BIN)/pytest -rs tests/docker $(ARGS)

test-ui: .venv/developed ## Look at MLflow's pages and the report in a headless Chromium
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ui]'
	GRIDLESS_TEST_UI=1 $(BIN)/pytest -rs tests/ui $(ARGS)

measure: setup ## Measure overhead, epochs, trial start and command times (long)
	$(BIN)/python benchmarks/overhead.py && $(BIN)/python benchmarks/epochs.py && $(BIN)/python benchmarks/commands.py

release: ## Build wheel and sdist into dist/, check them, and try the wheel in an empty environment
	rm -rf dist build && $(PYTHON) -m venv build/tools && $(PYTHON) -m venv build/empty
	build/tools/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build check-wheel-contents twine
	build/tools/bin/python -m build && build/tools/bin/twine check --strict dist/* && build/tools/bin/check-wheel-contents dist/*.whl
	build/empty/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build/empty && GRIDLESS_HOME=$$PWD/runs bin/gridless study mlp digits --n-trials 2 --epochs 1 --finalists 0 --no-mlflow --quiet

clean: ## Remove the environment and caches, never runs/
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist build
