# Two commands are all there is:
#
#     make run     starts a node with an app, calls it, and keeps serving
#     make test    passes the tests
#
# The rest is for those who work on cocained.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
SEEDS ?= 10000
CLUSTERS ?= 500
MOST ?= 1000
FUZZ_SECONDS ?= 300

.PHONY: run docker-demo cluster-demo test simulate simulate-cluster fuzz lint types \
	layers docs bench clean
.DELETE_ON_ERROR:

run: .venv/run.stamp
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/run.py

docker-demo: .venv/run.stamp
	@$(BIN)/python examples/docker/demo.py $(DEMO)

cluster-demo: .venv/run.stamp
	@$(BIN)/python examples/cluster/demo.py $(DEMO)

test: .venv/test.stamp
	$(BIN)/python -bb -W error::RuntimeWarning -m twisted.trial cocained
	cd frameworks/python && ../../$(BIN)/python -bb -W error::RuntimeWarning \
		-m twisted.trial tests

simulate: .venv/test.stamp
	$(BIN)/python -m cocained.test.simulation --seeds $(SEEDS)

simulate-cluster: .venv/test.stamp
	$(BIN)/python -m cocained.test.cluster_simulation --seeds $(CLUSTERS)
	$(BIN)/python -m cocained.test.cluster_simulation --seeds 10 --nodes 100 --apps 50
	$(BIN)/python -m cocained.test.cluster_simulation --most $(MOST) \
		--growth docs/growth.json
	$(BIN)/python -m cocained.test.cluster_simulation.plot docs/growth.json \
		docs/growth.svg

fuzz: .venv/fuzz.stamp
	$(BIN)/python -m cocained.test.fuzz --seconds $(FUZZ_SECONDS)
	COCAINED_LIVE=1 COCAINED_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -bb \
		-W error::RuntimeWarning -m twisted.trial cocained.test.live.test_fuzz_live

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.stamp
	$(BIN)/mypy
	cd examples/plugins && ../../$(BIN)/mypy

layers: .venv/dev.stamp
	$(BIN)/lint-imports

docs: .venv/dev.stamp
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: .venv/test.stamp
	$(BIN)/python -m cocained.tools.bench

clean:
	rm -rf .venv var build dist docs/_build *.egg-info _trial_temp*

.venv/python.stamp:
	@test -n "$(PYTHON)" || { \
		echo "cocained needs Python 3.11 or later: apt-get install python3"; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version)"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || { \
		echo "Python's venv module is missing; installing it"; \
		{ apt-get update -qq && apt-get install -qq -y python3-venv; } >/dev/null 2>&1 \
		|| { echo "Please run: sudo apt-get install python3-venv"; exit 1; }; \
		rm -rf .venv; $(PYTHON) -m venv .venv; }
	@touch $@

.venv/run.stamp: .venv/python.stamp setup.cfg frameworks/python/setup.cfg
	@echo "Installing cocained and the Python framework"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		-e . -e ./frameworks/python
	@touch $@

.venv/test.stamp: .venv/run.stamp
	@echo "Installing what the tests need"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e ".[test]"
	@touch $@

.venv/fuzz.stamp: .venv/test.stamp
	@echo "Installing the fuzzer"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e ".[fuzz]"
	@touch $@

.venv/live.stamp: .venv/test.stamp
	@echo "Installing what stands in for servers"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e ".[live]"
	@touch $@

.venv/dev.stamp: .venv/test.stamp
	@echo "Installing what developers need"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e ".[dev]"
	@touch $@
