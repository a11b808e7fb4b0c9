# Every target works from a fresh clone: it makes its own venv first.
PYTHON ?= python3
BIN := .venv/bin

# Otherwise pytest compiles all tests in each of its processes, each time. The gate itself writes no bytecode, and
# neither do tests that run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test lint demo package bench screenshots clean

.venv/ready: pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --group test --group lint
	touch $@

# The gate writes no bytecode of its own (gitlab_runner_gate.py); without it each of its many processes would compile.
.PHONY: bytecode
bytecode: .venv/ready
	$(BIN)/python -m compileall -q gitlab_runner_gate.py executor gate config audit

# What is thousandfold is thinned by default; with GATE_TEST_EFFORT=10 it is whole
# (tests/support/effort.py).
test: bytecode
	$(BIN)/python -m pytest $(TESTS)

# The inner loop: no hosts, no browser, nothing that takes seconds.
.PHONY: test-fast
test-fast: bytecode
	$(BIN)/python -m pytest --quiet --numprocesses=auto -m "not slow" tests/unit $(TESTS)

# For hours, as root. Faults of the host (tests/faults): SOAK times the killed writers and power cuts, and every byte and
# error. Then all that takes less by default, whole and more (tests/support/effort.py).
SOAK ?= 10
.PHONY: soak
soak: export GATE_TEST_EFFORT = $(SOAK)0
soak: bytecode
	GATE_SOAK=$(SOAK) GATE_TESTS_DEMAND_ALL=1 $(BIN)/python -m pytest --timeout=0 tests/faults
	$(BIN)/python -m pytest --timeout=0 tests/unit tests/stages/test_init.py tests/browser/test_hostile.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

# `make demo` waits for your answer from a second terminal; `make demo ANSWER=approve` (or reject) answers by itself.
demo: bytecode
	$(BIN)/python -m tests.support.demo $(ANSWER)

# sdist and wheel, in dist/; and the demo from the wheel, in a venv beside PyPI's `executor` and `config`.
package: .venv/ready
	$(BIN)/python -m pip install --quiet --group package
	$(BIN)/python -m tests.support.packaged

# The reference pages, made anew from the schema and from what the commands say of themselves.
.PHONY: docs check-docs
docs: bytecode
	$(BIN)/python -m config.reference > docs/reference/gate-yaml.md
	$(BIN)/python -m tests.support.variables_page > docs/reference/variables.md
	$(BIN)/python -m tests.support.output_page > docs/reference/json-output.md
	$(BIN)/python -m tests.support.help_text

# Whether README and docs/ are true: quoted help, reference pages, links, commands, examples.
check-docs: bytecode
	$(BIN)/python -m pytest tests/unit/test_docs.py tests/unit/test_config_policy.py tests/stages/test_backup.py tests/stages/test_readme.py

# The pictures of the page in docs/images; needs chromium.
screenshots: bytecode
	$(BIN)/python -m tests.support.screenshots

clean:
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache

bench: bytecode
	$(BIN)/python bench/costs.py
	$(BIN)/python bench/crowd.py
	$(BIN)/python bench/floods.py
	$(BIN)/python bench/audit.py
	$(BIN)/python bench/history.py
