# Two commands do everything on a fresh Debian or Ubuntu machine:
#   make demo   set up, then run the face animator on its built-in performer and avatar
#   make test   set up, then run the tests

PYTHON ?= python3
VENV ?= .venv
DEMO_SECONDS ?= 20

.PHONY: demo test setup lint clean

demo: setup
	@.ci/demo "$(VENV)" "$(DEMO_SECONDS)"

test: setup
	@.ci/test "$(VENV)"

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m tools.house

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml .ci/setup
	@.ci/setup "$(PYTHON)" "$(VENV)"

clean:
	rm -rf $(VENV) out build *.egg-info
