# `make` alone lists the targets. Every path is relative, so the checkout may lie under any name.
# Kept to what GNU make 3.81 (macOS) understands.

# Set on the command line: make run SEEDS=my_texts NAME=noir. (Plain `=`, so that a NAME or a CONFIG that
# happens to be in the environment is not taken: Windows' Linux subsystem sets NAME to the machine's name.)
CONFIG = configs/paris-cafe.yaml
SEEDS =
NAME =
ARGS =
MODEL =
# Which Python makes .venv. Unset: python3, or else the first of python3.14 to 3.11 that there is.
PYTHON ?=

# The recipes read these as shell variables, so that spaces and quotes in them survive.
export CONFIG SEEDS NAME PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1

python = .venv/bin/python
installed = .venv/.installed

# A misspelt variable would be ignored in silence, and the default run reported for somebody's texts.
unknown := $(filter-out SEEDS NAME CONFIG ARGS MODEL PYTHON,$(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(v)))),$(v))))
$(if $(unknown),$(error unknown variable: $(unknown); known are SEEDS, NAME, CONFIG, ARGS, MODEL and PYTHON))

.DEFAULT_GOAL := help
.PHONY: help run test slow bench scorer-bench base-eval lint notebooks onnx clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: $(installed) ## fine-tune, sample, score, report into runs/: [SEEDS=folder] [NAME=name] [CONFIG=file] [ARGS="--set key=value"]
	@set -- run "$$CONFIG" --report --refresh; \
	if [ -n "$$SEEDS" ]; then set -- "$$@" --originals "$$SEEDS"; fi; \
	if [ -n "$$NAME" ]; then set -- "$$@" --name "$$NAME"; fi; \
	exec $(python) -m training "$$@" $(ARGS)

# As many at once as there are cores; the models are too small for one test to use more than one.
test: $(installed) ## run the fast tests: [ARGS="-k name"]
	$(python) -m pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

slow: $(installed) ## run the slow tests
	$(python) -m pytest -m slow -n logical --maxprocesses 2 --dist loadfile $(ARGS)

bench: $(installed) ## run the benchmarks and print what they measure
	$(python) -m pytest tests/benchmarks -m "" -s $(ARGS)

lint: $(installed) ## check style, formatting and types
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

scorer-bench: $(installed) ## prove the scorer on authors and prompts, and try to game it
	$(python) -m pytest tests/benchmarks/bench_scorer.py -m "" -s $(ARGS)

base-eval: $(installed) ## measure what the base can do: [MODEL=folder] [ARGS="--briefs 12"]
	$(python) -m training base eval configs/base/stories.yaml $(MODEL) $(ARGS)

notebooks: $(installed) ## run the notebooks and save their outputs
	$(python) -c "from nbclient.cli import main; main()" --inplace notebooks/*.ipynb

onnx: $(installed) ## install ONNX Runtime for generate(backend="onnx"), twice as fast on a CPU
	$(python) -m pip install --no-deps --require-hashes -r requirements-onnx.lock
	$(python) -m pip check

clean: ## remove .venv and caches; runs/ stays
	rm -rf .venv build flaneur.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find data inference training tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp goes before anything is installed and comes back when all is: an interrupted install leaves none,
# and the next call begins with a new .venv. Where only a lock or pyproject.toml changed, .venv is updated.
# flaneur.pth is an editable install without pip: it lets notebooks and other folders import the packages. It is
# relative, hence plain ASCII: pip's has the full path, and with an accent in that, under LC_ALL=C, pip fails
# to write it and Python 3.11 fails to start.
# The bases come last. Tests need none, so set-up is complete before and succeeds when they fail;
# .PRECIOUS keeps the stamp when they are interrupted.
.PRECIOUS: $(installed)
$(installed): requirements.lock requirements-torch.lock pyproject.toml
	@if [ -f $@ ] && $(python) -c ""; then rm $@; exit; fi; \
	for candidate in "$${PYTHON:-python3}" $(if $(PYTHON),,python3.14 python3.13 python3.12 python3.11); do \
		if "$$candidate" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))" 2>/dev/null; then \
			echo "Making .venv with $$("$$candidate" --version), once"; \
			rm -rf .venv && "$$candidate" -m venv .venv; exit; \
		fi; \
	done; \
	echo "Flâneur needs Python 3.11 to 3.14, but $${PYTHON:-python3} is $$("$${PYTHON:-python3}" --version 2>/dev/null || echo "not there"):" \
		"install one and name it, as in: make run PYTHON=python3.12" >&2; \
	exit 1
	$(python) -m pip install --no-deps --require-hashes -r requirements.lock
	$(python) -m pip install -r requirements-torch.lock
	for packages in .venv/lib/python3.*/site-packages; do echo ../../../.. > "$$packages/flaneur.pth"; done
	$(python) -m pip check
	@touch $@
	@$(python) -c "from inference.bank import prepare; prepare()"
	@$(python) -m data fetch || echo "The tests need no base, make run does. To fetch it later: $(python) -m data fetch"
