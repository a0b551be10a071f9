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

test: check
	@$(VENV)/python -m tests $(ARGS)

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
