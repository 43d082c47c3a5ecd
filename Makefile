# `make up` and `make test` are all a newcomer needs; both set up what is missing.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/uv/bin/uv
INSTALL := $(UV) pip sync --quiet --require-hashes --python $(BIN)/python
SELF := $(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .

# Nothing that we run phones home.
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1

.PHONY: help up demo test check lint types contracts tools lock clean
.PHONY: login pull monitor retrain deploy dashboards
.DEFAULT_GOAL := help

help:
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## (.*)/make \1\t\2/; s/%/NAME/' | expand -t 18

up: $(VENV)/.up $(VENV)/.deepchecks ## set up, make data, train, register, serve API and console
	$(BIN)/crimeguard up

demo: $(VENV)/.up $(VENV)/.deepchecks ## set up and go once around the loop: drift, alarm, retraining, rollback
	$(BIN)/crimeguard demo

test: $(VENV)/.dev $(VENV)/.deepchecks ## set up and run the tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

check: lint types contracts ## lint, types and architecture contracts

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

# What the seven stages of the Jenkinsfile call; `crimeguard pipeline` runs them in order.
login: ## log in to the image registry (REGISTRY, DOCKER_USER, DOCKER_PASSWORD)
	deploy/docker/login

pull: $(VENV)/.up ## fetch the snapshots from the DVC remote
	$(BIN)/crimeguard data pull

# make has one exit code for all failures, so drift is told by the file alone.
monitor: $(VENV)/.up ## judge drift; the file monitoring/drift_detected means some
	$(BIN)/crimeguard monitor --out monitoring $(MONITOR_ARGS) || [ $$? = 4 ]

retrain: $(VENV)/.up $(VENV)/.deepchecks ## train, judge, promote and probe, if the policy says so
	$(BIN)/crimeguard retrain $(RETRAIN_ARGS)

image-%: ## build an image: backend, frontend, trainer or mlflow
	deploy/docker/build $*

push-%: ## push an image, and note its digest in reports/images
	deploy/docker/push $*

deploy: $(VENV)/.up ## roll out to Kubernetes by digest (OVERLAY=production), and back if it fails
	$(BIN)/crimeguard deploy --overlay $(OVERLAY) $(DEPLOY_ARGS)

dashboards: $(VENV)/.dev ## write the Grafana dashboards anew from code
	$(BIN)/python -m deploy.grafana.dashboards

tools: $(VENV)/.node $(VENV)/.checkov ## install the checks of Jenkinsfile and manifests (npm)

lock: $(UV) ## compile the locked requirements anew from pyproject.toml
	for group in dev up serve ui mlflow sbom scale; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --no-annotate --constraint requirements/pins.txt \
	    --group $$group pyproject.toml --output-file requirements/$$group.txt || exit 1; \
	  [ $$group != dev ] || grep -oE '^[a-z0-9._-]+==[^ ]+' requirements/dev.txt > requirements/pins.txt; \
	done
	for group in deepchecks checkov; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --no-annotate \
	    --group $$group pyproject.toml --output-file requirements/$$group.txt || exit 1; \
	done

clean: ## remove the environment and all state
	rm -rf $(VENV) .crimeguard

$(UV): requirements/uv.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CrimeGuard needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/pip install --quiet --require-hashes --requirement requirements/uv.txt
	@touch $(UV)

# The development environment contains the other one, so either satisfies `up`.
$(VENV)/.up: $(UV) requirements/up.txt pyproject.toml src/crimeguard/native/kernel.c
	$(INSTALL) requirements/$$(test -e $(VENV)/.dev && echo dev || echo up).txt
	$(SELF)
	$(BIN)/python -m crimeguard.native.build
	@touch $@

# The suite behind one gate wants other versions of everything: an environment of its own.
$(VENV)/.deepchecks: $(UV) requirements/deepchecks.txt
	$(PYTHON) -m venv $(VENV)/deepchecks
	$(UV) pip sync --quiet --require-hashes --python $(VENV)/deepchecks/bin/python requirements/deepchecks.txt
	@touch $@

# The policy check of the manifests pins much of what we use otherwise.
$(VENV)/.checkov: $(UV) requirements/checkov.txt
	$(PYTHON) -m venv $(VENV)/checkov
	$(UV) pip sync --quiet --require-hashes --python $(VENV)/checkov/bin/python requirements/checkov.txt
	@touch $@

$(VENV)/.node: $(UV) package-lock.json
	npm ci --ignore-scripts --silent --no-audit --no-fund
	@touch $@

$(VENV)/.dev: $(UV) requirements/dev.txt pyproject.toml src/crimeguard/native/kernel.c
	$(INSTALL) requirements/dev.txt
	$(SELF)
	$(BIN)/python -m crimeguard.native.build
	@touch $(VENV)/.up $@
