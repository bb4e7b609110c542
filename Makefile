# The whole study from its inputs: `make` lists what can be made. What is out of date is decided in
# lib/runner/stages.py; paths of yours reach a command only as quoted variables of the shell.

PROFILE ?= cpu
WHAT ?= all
export PROFILE
NAMED := $(filter command environment,$(firstword $(origin PROFILE)))
# What you write reaches the shell as it is: make would take the $ in a name for a variable of its own.
override PROFILE := $(value PROFILE)
override PROFILES := $(value PROFILES)
override NAME := $(value NAME)
override FROM := $(value FROM)
override WITH := $(value WITH)
override RATINGS := $(value RATINGS)
override QUESTION := $(value QUESTION)
override CHOICES := $(value CHOICES)
override FILE := $(value FILE)
override OUT := $(value OUT)
override NAMES := $(value NAMES)
override HONEY_HOME := $(value HONEY_HOME)
export PROFILES NAME FROM WITH RATINGS QUESTION CHOICES FILE OUT NAMES HONEY_HOME

# What a launcher, a container, a module or a shell has left in the environment, and would change
# results or stop a run without a word, is not handed on. Kept on purpose: where things are
# (HF_HOME, HF_ENDPOINT, TMPDIR, PIP_INDEX_URL, proxies, tokens, HF_HUB_OFFLINE) and what computes
# (CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS).
unexport $(filter-out PYTHON, $(filter PYTHON%, $(.VARIABLES)))
unexport $(filter RANK LOCAL_RANK GROUP_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT FORK_LAUNCHED \
	TORCHELASTIC_% ACCELERATE_% FSDP_% PMI_% PMIX_% OMPI_% MV2_%, $(.VARIABLES))
unexport NVIDIA_TF32_OVERRIDE TORCH_ALLOW_TF32_CUBLAS_OVERRIDE DNNL_DEFAULT_FPMATH_MODE ONEDNN_DEFAULT_FPMATH_MODE
unexport MPLBACKEND PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE CDPATH
export PYTHONUTF8 := 1
export PYTHONNOUSERSITE := 1
export MATPLOTLIBRC := /dev/null
# A server on this machine is never asked through a proxy.
export NO_PROXY := $(or $(no_proxy),$(NO_PROXY)),localhost,127.0.0.1
export no_proxy := $(NO_PROXY)
# folders of tests, in the order in which they run
PARTS := common questions human_study findings figures survey setup teacher models students invariant evaluation \
	notebooks runner browser bench pipeline
BENCHMARKS := $(filter-out gpu,$(patsubst tests/bench/bench_%.py,%,$(wildcard tests/bench/bench_*.py)))

# The environment of PYTHON, else the active one, else .venv, which `make setup` creates.
BOOT := $(shell command -v python3 || command -v python)
$(if $(BOOT),,$(error There is no python3 on the PATH; install Python 3.11 or 3.12))
BOOT := "$(BOOT)" -I -S -X utf8
PYTHON := $(shell $(BOOT) lib/setup/install.py --which)
RUN := @"$(PYTHON)" -m

# glibc gives large blocks back to the kernel after each operation, and page faults then cost as
# much as the arithmetic: with these a training step on a CPU is 1.5 to 1.9 times as fast.
export MALLOC_MMAP_THRESHOLD_ := 4294967296
export MALLOC_TRIM_THRESHOLD_ := 4294967296
export MALLOC_TOP_PAD_ := 268435456
# Progress bars freeze in executed notebooks; lib.common.progress prints lines instead.
export TQDM_DISABLE := 1
export PYTHONWARNINGS := ignore:IProgress not found
export TOKENIZERS_PARALLELISM := false
export PYTHONHASHSEED := 0

# Two torch processes on two cores run 15 times slower than one after the other.
.NOTPARALLEL:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.PHONY: help setup tables doctor check reproduce train plan test bench gpu figures results data ask survey study report lab new compare clean 00 01 02 03 04 05 06 07
.DEFAULT_GOAL := help

help: ## this list
	@echo "make TARGET [PROFILE=$$PROFILE]"
	@sed -n 's/^\([a-z0-9 ]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | \
		awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
	@echo 'Profiles (notebooks/profiles), the default first: start here'
	@test -z "$$PROFILES" || for file in "$$PROFILES"/*.yaml; do \
		test ! -f "$$file" || set -- "$$@" "$$file"; done; awk 'function show() {printf "  %-22s %7s  %s\n", name, time, text} \
		FNR == 1 {if (NR > 1) show(); name = FILENAME; sub(".*/", "", name); sub(".yaml", "", name); time = "-"} \
		/^needs:/ && match($$0, /minutes: [0-9.]+/) {m = substr($$0, RSTART + 9, RLENGTH - 9) + 0; \
			time = m < 100 ? m " min" : sprintf("%.0f h", m / 60)} \
		sub("^description: *", "") {text = $$0} END {show()}' \
		notebooks/profiles/cpu.yaml $(filter-out %/cpu.yaml,$(sort $(wildcard notebooks/profiles/*.yaml))) "$$@"

setup: ## install the pinned packages, once, into the active environment or .venv
	@$(BOOT) lib/setup/install.py

# All but models, in a minute: for what needs only tables.
tables:
	@$(BOOT) lib/setup/install.py --without-models

doctor: setup ## say what this machine has, and which profiles it can run
	$(RUN) lib.setup.doctor "$$PROFILE"

check: setup
	$(RUN) lib.runner.run "$$PROFILE" --check

reproduce: setup ## run the notebooks that are out of date, draw all figures, write the report
	$(RUN) lib.runner.run "$$PROFILE"

train: 03 ## train the students (and make what they need); JOBS=n side by side

plan: check ## say what reproduce would do: texts, trainings, downloads, and which notebooks run
	$(RUN) lib.runner.plan "$$PROFILE"

test: setup ## run the tests, the quick ones first; PART=evaluation for one folder of tests
	$(RUN) pytest -n 2 --dist worksteal $(addprefix tests/,$(or $(PART),$(PARTS)))

bench: setup ## measure speed and memory; WHAT=name for one benchmark
	$(if $(filter-out all $(BENCHMARKS),$(WHAT)),\
		$(error There is no benchmark '$(WHAT)'; WHAT is all or one of: $(BENCHMARKS)))
	@set -e; for what in $(or $(filter-out all,$(WHAT)),$(BENCHMARKS)); do \
		"$(PYTHON)" -m tests.bench.bench_$$what; done

gpu: setup ## what only a GPU can show, in six minutes: tests marked gpu, speed, memory
	$(RUN) tests.bench.bench_gpu

# Of one profile only where the command names one: the default is everything that is committed.
figures: tables ## redraw the figures of the paper and of data/results (PROFILE=name: of one), without models
	$(RUN) lib.runner.results figures $(if $(NAMED),"$$PROFILE")

results: setup ## collect a finished run's small results in data/results/PROFILE
	$(RUN) lib.runner.results collect "$$PROFILE"

data: tables ## download the authors' raw ratings and runs (NAMES="cqa-llama-train ..." for texts)
	$(RUN) lib.questions.release $$NAMES

ask: setup ## ask the students: QUESTION="..." CHOICES="a, b, c", or FILE=questions.csv, or type
	$(RUN) lib.evaluation.interview "$$PROFILE" --question="$$QUESTION" --choices="$$CHOICES" \
		--file="$$FILE" --out="$$OUT"

survey: setup ## build a page on which people rate this run's explanations
	$(RUN) lib.survey.page build "$$PROFILE" $(OPTIONS) --check
	$(RUN) lib.runner.run "$$PROFILE" --stage 04
	$(RUN) lib.survey.page build "$$PROFILE" $(OPTIONS)

study: setup ## analyse your own answer files in notebook 07: RATINGS=folder
	$(if $(RATINGS),,$(error Name the folder of answer files: make study RATINGS=data/raw/answers))
	$(RUN) lib.survey.page ingest "$$RATINGS"
	$(RUN) lib.runner.run "$$PROFILE" --stage 07 -p own_ratings="$$RATINGS"
	@echo "Notebook 07, its figures and statistics.csv show your ratings until the next make reproduce"
	@echo "PROFILE=$$PROFILE makes them without: copy what you want to keep."

report: setup ## one page with every executed notebook and figure that there is
	$(RUN) lib.runner.report "$$PROFILE"

# The whole repository is in the file list; as root (in a container) Jupyter wants to be told so.
lab: setup ## open the notebooks in JupyterLab
	$(RUN) jupyterlab --LabApp.default_url=/lab/tree/notebooks \
		--FileContentsManager.pre_save_hook=lib.setup.lab.before_saving \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(OPTIONS)

new: tables ## write a profile of your own to change: NAME=mine (FROM=cpu, PROFILES=/folder)
	$(RUN) lib.setup.fork "$$NAME" --from="$${FROM:-cpu}"

compare: tables ## set profiles beside each other, table and figure: WITH=mine (or WITH="mine other")
	$(RUN) lib.runner.comparison "$$PROFILE" $$WITH

clean: ## remove what the profile has built (data/runs and figures)
	@case "$$PROFILE" in */*) false;; esac && \
		{ test -f "notebooks/profiles/$$PROFILE.yaml" || test -f "$${PROFILES:-notebooks/profiles}/$$PROFILE.yaml"; } || \
		{ echo "There is no profile '$$PROFILE' in notebooks/profiles$${PROFILES:+ or $$PROFILES}."; exit 2; }
	@cd "$${HONEY_HOME:-.}" && rm -rf "data/runs/$$PROFILE" "figures/$$PROFILE" && \
		echo "Removed data/runs/$$PROFILE and figures/$$PROFILE; the teacher's texts stay in data/texts."

05: tables
00 01 02 03 04 06 07: setup
00 01 02 03 04 05 06 07: ## one notebook, after those that it needs; 00 is where to start
	$(RUN) lib.runner.run "$$PROFILE" --stage $@
