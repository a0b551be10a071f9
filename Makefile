# `make run` opens the workstation, `make test` proves the program. Both set up what they need (packaging/set_up.py).

.DEFAULT_GOAL := help
.PHONY: help run test check bench soak screenshots package clean set-up-test

PYTHON ?= python3
VENV := .venv/bin
ARGS ?=

help:
	@echo "make run          open the workstation with the paper exchange (ARGS='--profile DIR' is passed on)"
	@echo "make test         every check and every test"
	@echo "make check        ruff, ruff format, mypy, import contracts"
	@echo "make bench        the benchmarks (NAME=decode for one)"
	@echo "make soak         long fault runs"
	@echo "make screenshots  the pictures of the README, taken from the running program"
	@echo "make package      a program that needs no Python, in dist/"
	@echo "make clean        remove what was built; .venv and your profile stay"

run:
	@$(PYTHON) packaging/set_up.py run --display
	@$(VENV)/python main.py --paper $(ARGS)

set-up-test:
	@$(PYTHON) packaging/set_up.py test

check: set-up-test
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check --quiet .
	@$(VENV)/mypy --no-error-summary
	@contracts=$$($(VENV)/lint-imports --no-cache --no-logo 2>&1) || { echo "$$contracts"; exit 1; }

# Tests with real windows and real kills share two cores with all the others; what failed there is tried once more, alone,
# and must then pass. A defect fails again.
AGAIN = echo "again, alone, what failed above:" && $(VENV)/python -m pytest -q --last-failed --last-failed-no-failures none

# The window's tests have a process of their own: a browser engine in a shared worker would outlive its tests, and its
# helper processes keep a crashed worker's pipe open, so that the run would wait for ever. 5: ARGS left no test there.
test: check
	@$(VENV)/python -m pytest -q tests/ui $(ARGS) \
		|| { code=$$?; { [ -n "$(ARGS)" ] && [ $$code -eq 5 ]; } || { [ $$code -eq 1 ] && $(AGAIN) tests/ui; }; }
	@$(VENV)/python -m pytest -q -n 2 --dist loadgroup --max-worker-restart 0 --ignore tests/ui tests $(ARGS) \
		|| { code=$$?; { [ -n "$(ARGS)" ] && [ $$code -eq 5 ]; } || { [ $$code -eq 1 ] && $(AGAIN) --ignore tests/ui tests; }; }

bench: set-up-test
	@$(VENV)/python -m tests.bench $(NAME) $(ARGS)

soak: set-up-test
	@$(VENV)/python -m tests.soak $(ARGS)

screenshots: set-up-test
	@$(VENV)/python -m tests.screenshots $(ARGS)

package: set-up-test
	@$(VENV)/python packaging/build.py

clean:
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	@find app tests packaging -name __pycache__ -type d -prune -exec rm -rf {} +
