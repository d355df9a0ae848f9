.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
RUN ?= demo
SECONDS ?= 60
MINUTES ?= 60
RUNS ?= 50
FAST := tests/unit tests/contracts tests/corpus tests/test_architecture.py

# Hundreds of interpreters are started: each shall find our modules compiled.
unexport PYTHONDONTWRITEBYTECODE
# Fits with more threads than cores: waiting threads shall leave the cores to those that compute.
test test-fast: export OMP_WAIT_POLICY := PASSIVE

help:  ## print this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: .venv/installed  ## make .venv with everything in it

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch .venv/installed

demo: install  ## install, then search three real datasets for about a minute
	$(BIN)/python tools/demo_data.py datasets
	$(BIN)/optimizer run studies/demo.toml

test: test-fast  ## every test; those that need something that is not here are skipped by name
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal -m 'not whole_machine' $(addprefix --ignore=,$(FAST)) tests
	$(BIN)/python -m pytest -m whole_machine tests

test-fast: install  ## unit and contract tests and the corpus of bad input, but those that need every core
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m 'not whole_machine' $(FAST)

check: install  ## ruff, mypy --strict, spelling, architecture
	$(BIN)/ruff check optimizer tests tools benchmarks
	$(BIN)/mypy
	$(BIN)/codespell optimizer tests tools docs README.md CHANGELOG.md Makefile studies/*.toml
	$(BIN)/python -m pytest -q tests/test_architecture.py

run: install  ## run a study: make run RUN=demo
	$(BIN)/optimizer run studies/$(RUN).toml

watch: install  ## watch a run: make watch RUN=demo
	$(BIN)/optimizer watch $(RUN)

bench: install  ## every benchmark, and docs/benchmarks.md: most of a day; BENCH="nothing search" for some
	$(BIN)/python -m benchmarks.page $(BENCH)

chaos: install  ## 200 faults in an hour and a half: a study beside the same one undisturbed, then the checker
	$(BIN)/python -m benchmarks.chaos

soak: install  ## an hour of very short trials, and what grows: make soak MINUTES=60
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

deadlines: install  ## runs with random deadlines, and how late they end: make deadlines RUNS=50
	$(BIN)/python -m benchmarks.deadlines --runs $(RUNS)

fail-nth: install  ## fail each operation of a run, one after the other, in four ways: about an hour
	FAIL_NTH_STRIDE=1 $(BIN)/python -m pytest -s tests/acceptance/test_fail_nth.py

gpu-check: install  ## every check that needs an NVIDIA card; writes docs/gpu.md
	$(BIN)/python tools/gpu_check.py docs/gpu.md

fuzz: install  ## fuzz the readers of study files and tables: make fuzz SECONDS=60, each
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python tools/fuzz.py study $(SECONDS)
	$(BIN)/python tools/fuzz.py table $(SECONDS)

screenshots: install  ## docs/dashboard.svg and docs/results-page.png from a real run: make screenshots RUN=demo
	$(BIN)/python tools/screenshot.py $(RUN) docs/dashboard.svg
	$(BIN)/python tools/page_picture.py $(RUN) docs/results-page.png

docs: install  ## what of docs/ is made from the code
	$(BIN)/python -m optimizer.config.reference docs/reference/study-file.md
	$(BIN)/optimizer schema --out docs/reference/study-file.schema.json

clean:  ## remove .venv, caches and demo data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
	rm -rf datasets/breast_cancer datasets/wine datasets/diabetes

.PHONY: help install demo test test-fast check run watch fail-nth gpu-check fuzz screenshots docs bench chaos soak deadlines clean
