# Everything a developer runs. `make demo` and `make test` need nothing but Python 3.11.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROTOS := $(wildcard protos/imageward/v1/*.proto)
# What `make breaking` compares the contract with.
AGAINST ?= main

.PHONY: help venv demo demo-case bench serve stop test browser-tests monitoring-tools year campaign \
        fuzz soak rolling rotations workers overload abuse check fmt protos breaking clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

venv: $(STAMP)  ## Make .venv and install everything into it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "imageward needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## Bank real photographs, send altered copies, show every verdict
	$(BIN)/imageward-bench demo

bench: $(STAMP)  ## Measure the service and its peers; report in bench-report/ (BENCH= for options)
	$(BIN)/imageward-bench all $(BENCH)

demo-case: $(STAMP)  ## Take a picture through the intake, from the one-time link to the block
	$(BIN)/imageward-bench demo-case

serve: $(STAMP)  ## Leave a server running on 127.0.0.1:50051 (data in .imageward/)
	@mkdir -p .imageward
	@if [ -f .imageward/pid ] && kill -0 $$(cat .imageward/pid) 2>/dev/null; then \
	  echo "already running; make stop ends it"; exit 1; fi
	@nohup $(BIN)/imageward-server serve --insecure --data-dir .imageward/data >.imageward/log 2>&1 \
	  & echo $$! >.imageward/pid
	@$(BIN)/imageward status --wait 300 || { cat .imageward/log; exit 1; }
	@echo "log in .imageward/log; make stop ends it"

stop: $(STAMP)  ## Stop what `make serve` started
	@kill $$(cat .imageward/pid) && rm .imageward/pid

test: $(STAMP)  ## Run the tests
	$(BIN)/python -m pytest

# What `make campaign` runs, in order: targets that take minutes to hours.
CAMPAIGN := workers rolling rotations overload abuse fuzz soak
MINUTES ?= 60
RESTARTS ?= 20

campaign: $(CAMPAIGN)  ## Run what takes long: every target in CAMPAIGN

soak: $(STAMP)  ## Hold 70 % load for MINUTES (60): memory, descriptors, threads, latency
	$(BIN)/imageward-bench soak --minutes $(MINUTES) --out bench-out/soak

rolling: $(STAMP)  ## Restart a server RESTARTS (20) times under 70 % load, count failed calls
	$(BIN)/imageward-bench rolling --restarts $(RESTARTS) --json bench-out/rolling.json

ROTATIONS ?= 100
rotations: $(STAMP)  ## Renew all certificates ROTATIONS (100) times under load, count failed calls
	IMAGEWARD_ROTATIONS=$(ROTATIONS) $(BIN)/python -m pytest tests/rpc/test_tls.py \
	  -k rotations -s --timeout 3600

workers: $(STAMP)  ## Measure balance and scaling of workers, and how soon all see a change
	$(BIN)/imageward-bench workers --json bench-out/workers.json

overload: $(STAMP)  ## Offer 0.7 to 10 times what a server can: goodput, waits, refusals, recovery
	$(BIN)/imageward-bench overload --folder bench-out

abuse: $(STAMP)  ## Misbehave on HTTP/2 in 19 ways, and measure what good callers notice
	$(BIN)/imageward-bench abuse --json bench-out/abuse.json

RUNS ?= 100000
fuzz: $(STAMP)  ## Decode RUNS spoiled files in the cage; finds go to tests/server/cage/finds
	nice -n 19 $(BIN)/imageward-bench fuzz --runs $(RUNS)

browser-tests: $(STAMP)  ## Install Debian's Chromium if it is missing, walk the intake's pages with it
	@command -v chromedriver >/dev/null && command -v chromium >/dev/null \
	  || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver; }
	$(BIN)/python -m pytest tests/intake/test_browser.py

monitoring-tools: $(STAMP)  ## Fetch Debian's prometheus and promtool into .venv, for the tests
	@mkdir -p $(VENV)/debian
	cd $(VENV)/debian && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .

year: $(STAMP)  ## Simulate a year of 10,000 cases of the intake
	IMAGEWARD_YEAR_CASES=10000 $(BIN)/python -m pytest tests/intake/test_year.py -s

check: $(STAMP)  ## Lint, types, contract, arrows between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(MAKE) --no-print-directory protos OUT=$(VENV)/protos
	@for made in $(VENV)/protos/imageward/v1/*; do \
	  cmp -s $$made protos/imageward/v1/$$(basename $$made) \
	    || { echo "protos/imageward/v1/$$(basename $$made) is stale: run make protos"; exit 1; }; done

OUT ?= protos
protos: $(STAMP)  ## Generate the modules beside the .proto files
	@mkdir -p $(OUT)
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(OUT) \
	  --grpc_python_out=$(OUT) --mypy_out=quiet:$(OUT) --mypy_grpc_out=quiet:$(OUT) $(PROTOS)
	@# A file without a service has no stub worth keeping.
	@for made in $(OUT)/imageward/v1/*_pb2_grpc.py; do \
	  grep -q Servicer $$made || rm -f $$made $${made}i; done

breaking: $(STAMP)  ## Compare the contract with AGAINST (default: main)
	$(BIN)/buf breaking --against '.git#branch=$(AGAINST)'

fmt: $(STAMP)  ## Format code and contract, mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format -w

clean:  ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
