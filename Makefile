# Two commands from nothing: `make run` and `make test`. Both set up a virtual environment in .venv first; the second
# adds what developers need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: run test lint docs bench bench-quick bench-history ladder ladder-seeds books architectures report zoo clean

# Evaluate the bundled nano on the whole world suite at 0, 1 and 4 shots, and print the table.
run: $(VENV)/ready
	$(BIN)/evalkit run --model nano --tasks world --shots 0,1,4

# A process per core; `pytest -m "not slow"` for the quick ones.
test: $(VENV)/tools lint
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation's site, in site/. A warning (a dead link, a page that is not in the navigation) ends it.
docs: $(VENV)/tools
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Speeds of the parts; then the engine against lm-evaluation-harness, with EVALKIT_DATA on real documents: about 20
# quiet minutes.
LM_EVAL := .venv-lm-eval
bench: $(VENV)/tools $(LM_EVAL)/ready
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only
	$(BIN)/python -m tests.benchmarks.engine_peer.measure --lm-eval $(LM_EVAL)/bin/python --out reports/engine.md
	$(BIN)/python -m tests.benchmarks.engine_peer.linear --out reports/engine-linear.svg

# A table of every area in five minutes, kept under the commit in reports/bench; beside lm-eval where `make bench` or
# `make .venv-lm-eval/ready` has installed it. bench-history draws what is kept.
bench-quick: $(VENV)/tools
	$(BIN)/python -m tests.benchmarks.quick --out reports/bench $(if $(wildcard $(LM_EVAL)/ready),--lm-eval $(LM_EVAL)/bin/python)

bench-history: $(VENV)/tools
	$(BIN)/python -m tests.benchmarks.quick.history reports/bench

$(LM_EVAL)/ready: constraints.txt
	$(PYTHON) -m venv $(LM_EVAL)
	$(LM_EVAL)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt 'lm_eval[hf]==0.4.13'
	touch $@

# A ladder like the bundled one, from nothing: five sizes on the same nine million tokens of the generated world. The
# bundled models read the same pages by an earlier tokenizer, with others held out (docs/log.md, 2026-11-30).
RUNGS := pico nano micro mini midi
SEEDED := pico nano micro
LADDER := checkpoints/ladder
# With these the bundled models and those of reports/books were trained; the presets have others now.
RATES := --muon-lr 0.01 --adam-lr 0.005
comma := ,
list = $(subst $() $(),$(comma),$(strip $(1)))

ladder: $(VENV)/tools
	$(BIN)/evalkit train --size $(call list,$(RUNGS)) --corpus world --tokens 9M $(RATES) --checkpoint-keep 500 \
	    --out $(LADDER)

# Two more training seeds of the smaller sizes, to show their noise. They are pooled with models of the same corpus.
ladder-seeds: $(VENV)/tools
	$(BIN)/evalkit train --size $(call list,$(SEEDED)) --seed 1,2 --corpus $(LADDER)/corpus --tokens 9M $(RATES) \
	    --out $(LADDER)

# A ladder on your own text: make books TEXT=FOLDER EVALKIT_DATA=FOLDER (text files; benchmark files).
BOOK_RUNGS := maxi mini micro nano pico
BOOKS := checkpoints/books
books: $(VENV)/tools
	$(BIN)/evalkit corpus build $(TEXT) --vocab 8192 --out $(BOOKS)/corpus
	$(BIN)/evalkit train --size $(call list,$(BOOK_RUNGS)) --corpus $(BOOKS)/corpus --sequences 16 --tokens 7M $(RATES) \
	    --out $(BOOKS)
	$(BIN)/evalkit run --model $(call list,$(addprefix $(BOOKS)/,$(BOOK_RUNGS))) \
	    --tasks wikitext2,ptb,lambada,hellaswag,piqa --out runs/books
	$(BIN)/evalkit report runs/books --title "A ladder on books" --out reports/books
	cp $(BOOKS)/corpus/stats.md reports/books/corpus.md

# What today's architecture buys: both ladders on the world and on your own text (TEXT=FOLDER EVALKIT_DATA=FOLDER), at
# equally many tokens. reports/architectures.md compares them, reports/architectures/ has the trends of loss and tasks.
ARCH_RUNGS := mini micro nano pico
ARCHS := checkpoints/architectures
architectures: $(VENV)/tools
	$(BIN)/evalkit corpus build world --vocab 3000 --out $(ARCHS)/corpus-world
	$(BIN)/evalkit corpus build $(TEXT) --vocab 8192 --out $(ARCHS)/corpus-books
	rm -f reports/architectures.md
	for text in world:6M books:4M; do \
	    name=$${text%:*}; \
	    for arch in gpt2 modern; do \
	        $(BIN)/evalkit train --arch $$arch --size $(call list,$(ARCH_RUNGS)) --corpus $(ARCHS)/corpus-$$name \
	            --tokens $${text#*:} --sequences 8 --out $(ARCHS)/$$name/$$arch || exit 1; \
	    done; \
	    $(BIN)/python -m tests.benchmarks.measure_ladders --corpus $(ARCHS)/corpus-$$name --base $(ARCHS)/$$name/gpt2 \
	        --other $(ARCHS)/$$name/modern --title "On $$name" --out reports/architectures.md || exit 1; \
	done
	for arch in gpt2 modern; do \
	    $(BIN)/evalkit run --model $(call list,$(addprefix $(ARCHS)/world/$$arch/,$(ARCH_RUNGS))) --tasks world --shots 0,1 \
	        --out runs/architectures/world/$$arch || exit 1; \
	    $(BIN)/evalkit run --model $(call list,$(addprefix $(ARCHS)/books/$$arch/,$(ARCH_RUNGS))) \
	        --tasks wikitext2,ptb,lambada,piqa,hellaswag --limit 2000 --out runs/architectures/books/$$arch || exit 1; \
	done
	for name in world books; do \
	    $(BIN)/evalkit report runs/architectures/$$name/* --title "Two architectures on $$name" \
	        --out reports/architectures/$$name || exit 1; \
	done

# Put the ladder into the package, at half precision.
zoo: $(VENV)/tools
	for size in $(RUNGS); do \
	    rm -rf evalkit/zoo/$$size && $(BIN)/evalkit export $(LADDER)/$$size --to evalkit/zoo/$$size --dtype fp16 || exit 1; \
	done

# Evaluate the bundled ladder, and other seeds where there are any; write reports/ladder.md and reports/ladder/.
MODELS = $(RUNGS) $(wildcard $(LADDER)/*-seed?)
RUN = $(BIN)/evalkit run --model $(call list,$(MODELS))
report: $(VENV)/tools
	$(RUN) --tasks world --shots 0,1,4 --out runs/ladder
	$(RUN) --tasks world_patterns --shots 8,16,32 --out runs/ladder-patterns
	$(BIN)/evalkit report-ladder runs/ladder/* runs/ladder-patterns/* --documents 75000 \
	    --out reports/ladder.md
	$(BIN)/evalkit report runs/ladder runs/ladder-patterns --title "The ladder on the generated world" --out reports/ladder
	$(BIN)/evalkit audit runs/ladder --shots 0 --levels --out reports/audit/ladder \
	    --title "The tasks of the generated world, audited on the ladder"

# What a run needs.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

# Everything else: training, reports, tests.
$(VENV)/tools: $(VENV)/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(LM_EVAL) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
