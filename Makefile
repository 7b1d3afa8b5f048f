# Everything lives in .venv, made by the first command that needs it. No other tool than Python 3.11+,
# a C++20 compiler and make is needed.
#
#   make demo                      turn a sample picture into a world
#   make demo PICTURE=photo.jpg    turn your own
#   make test                      run the tests
#   make test-engines              run the tests of exported files in Blender, Godot and other programs
#   make bench                     measure speed
#   make lint                      check style, types and layers
#   make train-geo MINUTES=90      train the embedded geometry network, or resume
#   make train-fill MINUTES=90     train the embedded video diffusion network, or resume
#   make train-outpaint MINUTES=60 train the embedded outpainting network, or resume

PYTHON ?= python3
PICTURE ?= assets/samples/coffee.png
OUT ?= runs/demo
MINUTES ?= 90
TRAINED ?= runs/$@
MODELS ?=
WORKERS ?= 1
TORCH ?= torch==2.13.0
CPU_INDEX ?= https://download.pytorch.org/whl/cpu

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TRAIN := OMP_NUM_THREADS=1 $(BIN)/python -m torch.distributed.run --standalone --nproc-per-node $(WORKERS) -m
ENGINES := tests/engines
BLENDER := .venv-blender
NATIVE := CMakeLists.txt $(wildcard img2world/render/native/*)

.PHONY: demo test test-engines bench lint train-geo train-fill train-outpaint clean

demo: $(VENV)/ready
	$(BIN)/img2world run $(PICTURE) --out $(OUT) $(ARGS)

# Tests start hundreds of processes, which would each compile the package where Python may not keep its bytecode.
# With worksteal, tests that lie side by side run in one worker, so that what they share is made once.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-engines: $(VENV)/ready-dev $(BLENDER)/ready $(ENGINES)/node_modules/.package-lock.json
	$(BIN)/python -m pytest -n 0 -rs -m 'engines or not engines' $(ENGINES) $(ARGS)

# Tools of the tests only.
$(ENGINES)/node_modules/.package-lock.json: $(ENGINES)/package-lock.json
	npm ci --silent --ignore-scripts --no-audit --no-fund --prefix $(ENGINES)
	touch $@

# An environment of its own, because bpy allows one version of NumPy and of Python, 3.11, only.
$(BLENDER)/ready:
	$(PYTHON) -m venv $(BLENDER)
	$(BLENDER)/bin/python -m pip --disable-pip-version-check install --quiet bpy==5.0.1
	touch $@

bench: $(VENV)/ready-dev
	$(BIN)/python benchmarks/rasterizer.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/end_to_end.py

lint: $(VENV)/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# MINUTES are CPU minutes of each of WORKERS cores. MODELS=manifest.csv adds 3D models to the procedural objects,
# ARGS='--extra-assets FOLDER' more of them. Training resumes from the folder TRAINED. Measured weights are shipped by
# `python -m training.ship_geo` and `ship_fill`.
train-geo: $(VENV)/ready-dev
	$(TRAIN) training.train_geo $(TRAINED) --minutes $(MINUTES) --assets '$(MODELS)' $(ARGS)
	$(BIN)/python -m training.evaluate_geo $(TRAINED)/checkpoint.pt

train-fill: $(VENV)/ready-dev
	$(TRAIN) training.train_fill $(TRAINED) --minutes $(MINUTES) --assets '$(MODELS)' $(ARGS)
	$(BIN)/python -m training.evaluate_fill $(TRAINED)/checkpoint.pt

train-outpaint: $(VENV)/ready-dev
	$(TRAIN) training.train_outpaint $(TRAINED) --minutes $(MINUTES) $(ARGS)

clean:
	rm -rf $(VENV) $(BLENDER) $(ENGINES)/node_modules build

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit("img2world needs Python 3.11 or newer, this is %d.%d: call make PYTHON=python3.12 …" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || \
	  { echo "A C++20 compiler is missing: apt install g++" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Cannot make $(VENV): apt install python3-venv" >&2; exit 1; }
	$(PIP) install --quiet --upgrade pip
	touch $@

# The torch that PyPI has for Linux brings gigabytes of CUDA, of no use without an NVIDIA GPU.
$(VENV)/torch: $(VENV)/python
	@if [ "$$(uname -s)" != Linux ] || command -v nvidia-smi >/dev/null; then \
	  echo "Installing $(TORCH)"; $(PIP) install --quiet $(TORCH); \
	elif echo "Installing $(TORCH) for the CPU"; \
	  $(PIP) install --quiet --timeout 10 --retries 0 --index-url $(CPU_INDEX) $(TORCH) 2>/dev/null; then :; \
	else \
	  echo "$(CPU_INDEX) cannot be reached: installing $(TORCH) from the usual index"; $(PIP) install --quiet $(TORCH); \
	fi
	@$(BIN)/python -c 'import importlib.metadata as m; print("Installed torch", m.version("torch"))'
	@echo "$(TORCH)" > $(VENV)/constraints.txt
	touch $@

$(VENV)/ready: $(VENV)/torch pyproject.toml $(NATIVE)
	$(PIP) install --quiet --constraint $(VENV)/constraints.txt --editable .
	touch $@

$(VENV)/ready-dev: $(VENV)/torch pyproject.toml $(NATIVE)
	$(PIP) install --quiet --constraint $(VENV)/constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/ready
