PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint bench faults reproductions clean

# Everything runs in a virtual environment of this folder; it is made anew when pyproject.toml changes.
# pip would compile the packages one after the other, which takes longer than all else but the download.
install: $(BIN)/.installed

$(BIN)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "hpo needs Python 3.11 to 3.13: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@echo "installing into .venv; the first time that takes some minutes"
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # some packages hold files for other Pythons
	@touch $@

demo: install
	$(BIN)/hpo run studies/digits.yaml

# Three processes keep two cores busy, since many tests wait for servers; a pool of threads in each
# would be in the way of the others. In the order of the folders the long tests do not come last.
# Tests start some hundred processes; each would compile hpo where PYTHONDONTWRITEBYTECODE is set.
test: install
	$(BIN)/python -m compileall -q hpo
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu" -n 3 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/fused.py
	$(BIN)/python benchmarks/validate.py
	$(BIN)/python benchmarks/submit.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/regret.py
	$(BIN)/python benchmarks/time_to_target.py

# Every fault ten times, at some ten minutes each time round on two cores. TIMES=2 for less.
TIMES ?= 10
faults: install
	$(BIN)/python tests/faults/matrix.py --times $(TIMES)

# The figures and pictures of docs/reproductions.md, in a minute or two.
reproductions: install
	$(BIN)/python studies/reproductions/implicit_sparsity.py
	$(BIN)/python studies/reproductions/sparse_image.py
	$(BIN)/python studies/reproductions/closed_forms.py

clean:
	rm -rf .venv
