# `make demo` and `make test` set up what they need. PYTHON=python3.12 chooses another interpreter;
# EXTRAS=dev,torch sets up PyTorch too, and `make test` then compares with it.
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RNNCLI := $(BIN)/rnncli

help:            ## this list; times are of two slow cores
	@grep -E '^[a-z]+: .*##' Makefile | sed 's/:.*##/:/'

demo: $(RNNCLI)  ## the main job on corpora/comments.csv, and a page to look at: three minutes
	@echo "Six steps in three minutes: tokenize, train (100 s), score, compare with the truth, write, draw a page."
	@echo "All that they make goes to .demo/. Each command is shown before what it prints."
	@mkdir -p .demo
	$(SAY) "1 of 6. Text becomes ids. The last table: how much of the text a smaller vocabulary would lack."
	$(RNNCLI) tokenize corpora/comments.csv --column body --vocab-size 8000 -o .demo/comments.npz
	$(SAY) "2 of 6. A network learns to predict the next word. The loss is in nats a word: lower is better."
	$(RNNCLI) train .demo/comments.npz -o .demo/model.npz --max-time 100s --overwrite --metrics .demo/log.jsonl
	$(SAY) "3 of 6. How well it predicts 1,000 comments that it has not seen."
	$(RNNCLI) eval .demo/model.npz .demo/comments.npz --split test
	$(SAY) "4 of 6. A grammar wrote these comments: the nats a token of a model that knows it. No model can have less (row test)."
	$(BIN)/python corpora/make_comments.py --entropy .demo/comments.npz
	$(SAY) "5 of 6. Five texts that the model writes."
	$(RNNCLI) sample .demo/model.npz --prefix "The" --num 5 --seed 1 | awk '{ print NR ". " $$0 "\n" }'
	$(SAY) "6 of 6. A page that shows what it has learnt."
	$(RNNCLI) report .demo/model.npz --metrics .demo/log.jsonl --data .demo/comments.npz -o .demo/report.html
	$(SAY) "Done. Open this page in a browser:"
	@echo "  file://$(CURDIR)/.demo/report.html"
	@echo "Three commands to type next:"
	@echo '  $(RNNCLI) sample .demo/model.npz --prefix "Does anyone" --num 3 --temperature 0.7'
	@echo '  $(RNNCLI) eval .demo/model.npz .demo/comments.npz --baselines'
	@echo '  $(RNNCLI) guide'

SAY = @printf '\n%s\n'
LAYOUT = $(BIN)/ruff check . && $(BIN)/ruff format --check rnncli tests && $(BIN)/mypy
PYTEST = $(BIN)/pytest -n auto --dist loadfile

test: .venv/dev  ## style, types, all tests: about five minutes
	@echo "Style, types and all tests take about five minutes; make fast takes one or two."
	$(LAYOUT)
	$(PYTEST)

fast: .venv/dev  ## the same without torture, browser, the pages' commands and what is slow: one or two minutes
	$(LAYOUT)
	$(PYTEST) -m "not torture and not browser and not pages and not slow"

TORCH = $$($(BIN)/python -c 'import torch' 2> /dev/null && echo --against torch)

torture: .venv/dev  ## the promises, tried many times: hours, the soak alone one; ROWS=kills for a row
	$(BIN)/python tests/torture $(ROWS)

bench: $(RNNCLI) ## speed and memory on this machine, kept in .bench.jsonl; with PyTorch in .venv, beside it
	$(BIN)/python tests/bench --start $(TORCH) --results .bench.jsonl
	$(BIN)/python tests/bench --tokenize corpora/comments.csv --megabytes 1000 --results .bench.jsonl
	$(BIN)/python tests/bench $(TORCH) --results .bench.jsonl

docs: .venv/dev  ## write rnncli/guide/options.md, from the commands' help
	$(BIN)/python tests/support/options_page.py

format: .venv/dev  ## lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format rnncli tests

wheel: .venv/dev  ## dist/rnncli-VERSION-py3-none-any.whl, the same bytes each time
	$(PIP) build
	$(BIN)/python -m build --wheel

smoke: wheel     ## the wheel in a clean venv, from text to a page: a minute
	rm -rf build/smoke && $(PYTHON) -m venv build/smoke
	build/smoke/bin/python -m pip install --quiet --disable-pip-version-check dist/rnncli-*.whl
	cd build/smoke && PATH=$$PWD/bin:$$PATH && rnncli guide | head -n 1 && \
	rnncli tokenize ../../corpora/lyrics_zh.txt --whole-file --level char -o d.npz && \
	rnncli train d.npz -o m.npz --max-steps 20 && rnncli sample m.npz --length 20 && \
	rnncli eval m.npz d.npz && rnncli report m.npz --data d.npz -o page.html

clean:           ## take away what the other targets made
	rm -rf .venv .demo dist build

$(RNNCLI): pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

.venv/dev: pyproject.toml $(RNNCLI)
	$(PIP) -e '.[$(EXTRAS)]'
	touch $@

.PHONY: help demo test fast torture bench docs format wheel smoke clean
