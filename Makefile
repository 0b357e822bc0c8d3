# make search   install, and run the main job (PARAMS=dataset=cifar100,seed=3 for other settings)
# make test     install with the test extras, and run the whole suite: by three processes, also on two
#               cores, as many tests wait for processes that they start
# make fast     the fast tests only: no process, no Kedro project, none above a quarter of a CPU second
# make coverage  the lines that the fast tests execute, the least covered modules first
# make mutants  mutants of the modules listed in pyproject.toml (MODULE=algorithm.budget for one)
# make lint     ruff, mypy, import-linter (the layers of the package, pyproject.toml), vulture (dead
#               code), deptry (unused dependencies), and pip-audit, which is skipped, with the reason,
#               where its service does not answer
# make docs     the documentation site: docs/_build/html; the notebooks are run, warnings are errors
# make dist     wheel and sdist into dist/, and a search with the installed wheel in a bare folder
# make bench    cost of a search: CPU seconds, memory, shares, overhead
# make results  regenerate the tables and figures of docs/results/ (some ten CPU hours)
# make reproduction  the same of docs/reproduction.md: the paper's own algorithm (some 50 CPU hours)

PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
AUDIT := .venv/audit/bin
TOOLS := .venv/tools
PARAMS ?=
MODULE ?=

.PHONY: search test fast coverage mutants lint docs dist bench results reproduction clean

search: .venv/installed
	$(BIN)/kedro run --pipeline=nb201_search $(if $(PARAMS),--params=$(PARAMS))

test: .venv/installed-dev
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

fast: .venv/installed-dev
	$(BIN)/pytest -m fast

coverage: .venv/installed-dev | $(TOOLS)/mutmut
	PYTHONPATH=$(TOOLS) $(BIN)/python -m coverage run -m pytest -m fast
	PYTHONPATH=$(TOOLS) $(BIN)/python -m coverage report

mutants: .venv/installed-dev | $(TOOLS)/mutmut
	@mkdir -p mutants/src
	PYTHONPATH=mutants/src:$(TOOLS) $(BIN)/python -m mutmut run $(if $(MODULE),"optiproxy_nas.$(MODULE).*")
	PYTHONPATH=$(TOOLS) $(BIN)/python -m mutmut results

lint: .venv/installed-dev $(AUDIT)/deptry | $(AUDIT)/pip-audit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(AUDIT)/vulture > .venv/vulture.txt; \
		case $$? in 0|3) ! grep -v "^tests/" .venv/vulture.txt;; *) cat .venv/vulture.txt; exit 1;; esac
	$(AUDIT)/deptry --no-ansi src evidence cost
	$(BIN)/python -m cost.vulnerabilities

docs: .venv/installed-dev
	OPTIPROXY_RUN_NOTEBOOKS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

dist: .venv/installed-dev
	rm -rf dist build
	$(BIN)/python -m build --quiet --outdir dist .
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target build/wheel dist/*.whl
	cd build && PYTHONPATH=wheel ../$(BIN)/python -c "import optiproxy_nas as it; \
		assert 'wheel' in it.__file__, it.__file__; print(it.search(budget=20))"

bench: .venv/installed
	$(BIN)/python -m cost

results: .venv/installed-baselines
	$(BIN)/kedro evidence

reproduction: .venv/installed-baselines
	$(BIN)/kedro evidence reproduced reproduced_spaces reproduced_hardware reproduced_ablation reproduced_proxies

.venv/bin/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))" || \
		{ echo "Python 3.11 or 3.12 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/installed-baselines: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[baselines,surrogates]"
	@touch $@ .venv/installed

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,viz]"
	@touch $@ .venv/installed .venv/installed-baselines

# Beside the environment, as they import the package; mutmut brings coverage.
$(TOOLS)/mutmut: | .venv/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --target $(TOOLS) mutmut==3.8.1

# In an environment of their own: they need none of ours.
$(AUDIT)/python: | .venv/bin/python
	$(BIN)/python -m venv .venv/audit

$(AUDIT)/deptry: | $(AUDIT)/python
	$(AUDIT)/pip install --quiet --disable-pip-version-check vulture==2.16 deptry==0.25.1

$(AUDIT)/pip-audit: | $(AUDIT)/python
	-$(AUDIT)/pip install --quiet --disable-pip-version-check --retries 1 pip-audit

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
