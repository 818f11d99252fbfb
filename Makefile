# `make demo` and `make test` set up what they need. PYTHON=python3.12 chooses another interpreter;
# EXTRAS=dev,torch sets up PyTorch too, and `make test` then compares with it.
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RNNCLI := $(BIN)/rnncli

help:            ## this list
	@grep -E '^[a-z]+: .*##' Makefile | sed 's/:.*##/:/'

demo: $(RNNCLI)  ## the main job on corpora/comments.csv, in three minutes
	mkdir -p .demo
	$(RNNCLI) tokenize corpora/comments.csv --column body --vocab-size 8000 -o .demo/comments.npz
	$(RNNCLI) train .demo/comments.npz -o .demo/model.npz --max-time 100s --overwrite --metrics .demo/log.jsonl
	$(RNNCLI) eval .demo/model.npz .demo/comments.npz --split test
	$(BIN)/python corpora/make_comments.py --entropy .demo/comments.npz
	$(RNNCLI) sample .demo/model.npz --prefix "The" --num 5 --seed 1
	$(RNNCLI) report .demo/model.npz --metrics .demo/log.jsonl --data .demo/comments.npz -o .demo/report.html

test: .venv/dev  ## style, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check rnncli tests
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadfile

TORCH = $$($(BIN)/python -c 'import torch' 2> /dev/null && echo --against torch)

torture: .venv/dev  ## the promises of the README, tried many times; an hour is the soak
	$(BIN)/python tests/torture $(ROWS)

bench: $(RNNCLI) ## speed and memory on this machine, kept in .bench.jsonl; with PyTorch in .venv, beside it
	$(BIN)/python tests/bench --start $(TORCH) --results .bench.jsonl
	$(BIN)/python tests/bench --tokenize corpora/comments.csv --megabytes 1000 --results .bench.jsonl
	$(BIN)/python tests/bench $(TORCH) --results .bench.jsonl

format: .venv/dev  ## lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format rnncli tests

wheel: .venv/dev  ## dist/rnncli-VERSION-py3-none-any.whl, the same bytes each time
	$(PIP) build
	$(BIN)/python -m build --wheel

clean:           ## take away what the other targets made
	rm -rf .venv .demo dist build

$(RNNCLI): pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

.venv/dev: pyproject.toml $(RNNCLI)
	$(PIP) -e '.[$(EXTRAS)]'
	touch $@

.PHONY: help demo test torture bench format wheel clean
