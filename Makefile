# The two commands of the README: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-faults test-vllm test-gpu lint types check setup clean

DEMO_PROMPT := a hot-air balloon drifts over the hills

demo: setup
	@test -f out/demo.mp4 || { echo "Drawing a clip of four seconds: out/demo.mp4"; \
		$(BIN)/python -m promptlift.testing out/demo.mp4; }
	@$(BIN)/promptlift hint out/demo.mp4 -o out/demo-hints.png
	@printf '\n$$ promptlift run out/demo.mp4 "%s"\n\n' "$(DEMO_PROMPT)"
	@$(BIN)/promptlift run out/demo.mp4 "$(DEMO_PROMPT)"

test: setup
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

# Kills the batch command a hundred times, at moments that seeds decide; about six minutes.
FAULT_SEEDS ?= 50
test-faults: setup
	PYTHONPATH=tests $(BIN)/python -m fault.harness --seeds $(FAULT_SEEDS)
	$(BIN)/python -m pytest tests/fault

# Starts the real vLLM on the CPU, several times: 2.5 GB of packages the first time, then minutes.
test-vllm: setup
	$(BIN)/python -m pytest -m vllm tests/real_vllm

test-gpu: setup
	$(BIN)/python -m pytest -m gpu tests/gpu

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
