# The whole study from its inputs: `make` lists what can be made.

PROFILE ?= cpu
WHAT ?= all
# folders of tests, in the order in which they run
PARTS := common questions human_study findings figures survey setup teacher models students evaluation \
	notebooks runner browser pipeline

# The environment of PYTHON, else the active one, else .venv, which `make setup` creates.
BOOT := $(shell command -v python3 || command -v python) -I -S
$(if $(filter /%,$(BOOT)),,$(error There is no python3 on the PATH; install Python 3.11 or 3.12))
PYTHON := $(shell $(BOOT) lib/setup/install.py --which)

ifdef HONEY_HOME
override HONEY_HOME := $(abspath $(HONEY_HOME))
export HONEY_HOME
endif
BUILT := $(if $(HONEY_HOME),$(HONEY_HOME)/)
RUNS := $(BUILT)data/runs/$(PROFILE)
FIGURES := $(BUILT)figures/$(PROFILE)
BENCHMARKS := $(patsubst tests/bench/bench_%.py,%,$(wildcard tests/bench/bench_*.py))

# glibc gives large blocks back to the kernel after each operation, and page faults then cost as
# much as the arithmetic: with these a training step on a CPU is 1.5 to 1.9 times as fast.
export MALLOC_MMAP_THRESHOLD_ := 4294967296
export MALLOC_TRIM_THRESHOLD_ := 4294967296
export MALLOC_TOP_PAD_ := 268435456
# Progress bars freeze in executed notebooks; lib.common.progress prints lines instead.
export TQDM_DISABLE := 1
export TOKENIZERS_PARALLELISM := false
export PYTHONHASHSEED := 0

# Two torch processes on two cores run 15 times slower than one after the other.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.PHONY: help setup doctor check reproduce train plan test bench figures results data survey study report lab clean check-survey 01 02 03 04 05 06 FORCE
.DEFAULT_GOAL := help

# Goals that have to do with a profile: read what its notebooks depend on (lib/runner/depends.py), or stop.
ifneq ($(filter-out help setup doctor test bench figures data lab,$(or $(MAKECMDGOALS),help)),)
PROBLEM := $(shell $(BOOT) lib/runner/depends.py '$(PROFILE)')
$(if $(PROBLEM),$(error $(PROBLEM)))
include $(BUILT)data/runs/depends-$(PROFILE).mk
endif
ifneq ($(filter bench,$(MAKECMDGOALS)),)
$(if $(filter-out all $(BENCHMARKS),$(WHAT)),\
  $(error There is no benchmark '$(WHAT)'; WHAT is all or one of: $(BENCHMARKS)))
endif

EXECUTED := $(STAGES:%=$(RUNS)/notebooks/%.ipynb)
RECORDS := $(STAGES:%=$(RUNS)/stages/%.json)

help: ## this list
	@echo 'make TARGET [PROFILE=$(PROFILE)]'
	@sed -n 's/^\([a-z0-9 ]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | \
		awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
	@echo 'Profiles (notebooks/profiles):'
	@$(BOOT) lib/runner/depends.py --profiles

setup: ## install the pinned packages, once, into the active environment or .venv
	@$(BOOT) lib/setup/install.py

doctor: ## say what this machine can and cannot run, before or after setup
	@$(BOOT) lib/setup/doctor.py '$(PROFILE)'

check: setup
	@$(PYTHON) -m lib.runner.run --check --profile $(PROFILE)

reproduce: check $(EXECUTED) ## run the notebooks that are out of date, draw all figures, write the report
	@$(PYTHON) -m lib.runner.report $(PROFILE)
	@echo 'Figures: $(FIGURES)'
	@echo 'Report:  $(RUNS)/report/index.html'

train: 03 ## train the students (and make what they need); JOBS=n side by side

plan: check ## say what reproduce would do: texts, trainings, downloads, and which notebooks run
	@$(PYTHON) -m lib.runner.plan $(PROFILE)
	@$(BOOT) lib/runner/depends.py $(PROFILE) --plan

test: setup ## run the tests, the quick ones first; PART=evaluation for one folder of tests
	@$(PYTHON) -m pytest $(addprefix tests/,$(or $(PART),$(PARTS)))

bench: setup ## measure speed and memory; WHAT=name for one benchmark
	@set -e; for what in $(or $(filter-out all,$(WHAT)),$(BENCHMARKS)); do \
		$(PYTHON) -m tests.bench.bench_$$what; done

# Of one profile only where the command names one: the default is everything that is committed.
figures: setup ## redraw the figures of the paper and of data/results (PROFILE=name: of one), without models
	@$(PYTHON) -m lib.runner.results figures $(if $(filter command environment,$(firstword $(origin PROFILE))),'$(PROFILE)')

results: check ## collect a finished run's small results in data/results/PROFILE
	@$(PYTHON) -m lib.runner.results collect $(PROFILE)

data: setup ## download the authors' raw ratings and runs (NAMES="cqa-llama-train ..." for texts)
	@$(PYTHON) -m lib.questions.release $(NAMES)

survey: check-survey $(RUNS)/notebooks/04_evaluation.ipynb ## build a page on which people rate this run's explanations
	@$(PYTHON) -m lib.survey.page build $(PROFILE) $(OPTIONS)

check-survey: check
	@$(PYTHON) -m lib.survey.page build $(PROFILE) $(OPTIONS) --check

study: OWN = $(or $(realpath $(RATINGS)),$(RATINGS))
study: check ## analyse your own answer files in notebooks 05 and 06: RATINGS=folder
	@$(if $(RATINGS),,$(error Name the folder of answer files: make study RATINGS=data/raw/answers))
	@$(PYTHON) -m lib.survey.page ingest '$(RATINGS)'
	@$(PYTHON) -m lib.runner.run 05_human_study --profile $(PROFILE) -p own_ratings='$(OWN)'
	@$(if $(wildcard $(RUNS)/04_evaluation/explanations.parquet),\
		$(PYTHON) -m lib.runner.run 06_tradeoff --profile $(PROFILE) -p own_ratings='$(OWN)')
	@echo 'Notebooks 05 and 06, their figures and statistics.csv show your ratings until the next make reproduce'
	@echo 'PROFILE=$(PROFILE) makes them without: copy what you want to keep from $(RUNS) and $(FIGURES).'

report: check ## one page with every executed notebook and figure that there is
	@$(PYTHON) -m lib.runner.report $(PROFILE)
	@echo 'Report:  $(RUNS)/report/index.html'

# The whole repository is in the file list; as root (in a container) Jupyter wants to be told so.
lab: setup ## open the notebooks in JupyterLab
	@$(PYTHON) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(OPTIONS)

clean: ## remove what the profile has built (data/runs and figures)
	@echo "Removing $(RUNS) and $(FIGURES); the teacher's texts stay in $(BUILT)data/texts."
	@rm -rf '$(RUNS)' '$(FIGURES)' $(BUILT)data/runs/depends-$(PROFILE).mk

01 02 03 04 05 06: ## one notebook, after those that it needs

# A notebook is out of date when an input is newer (see depends-*.mk) or one of its outputs is gone.
$(EXECUTED): $(RUNS)/notebooks/%.ipynb: | check
	@$(PYTHON) -m lib.runner.run $* --profile $(PROFILE)

# lib.runner.run rewrites a stage's record only when its tables changed: then alone the next stages rerun.
$(RECORDS): $(RUNS)/stages/%.json: $(RUNS)/notebooks/%.ipynb ;

FORCE:
