# Everything starts here. `make help` lists the targets; `make demo` and `make test` need nothing
# but Debian 12 or 13, root or sudo, and the machine's own package mirrors.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.cache/uv/bin:$(PATH)
# So that progress is seen at once, and in order, also in a log.
export PYTHONUNBUFFERED := 1

PY := .venv/bin/python
LAB := $(PY) -m schedcp_lab
PYTHON_ROOMS := crds operator nodeagent lab tests
C_SOURCES = $(shell git ls-files '*.c' '*.h')
PYTEST := $(PY) -m pytest
SURVIVAL := tests/e2e/test_survival.py
STOCK := tests/kernel/test_stock_schedulers.py
VERIFIER_JOB := tests/e2e/test_verifier_job.py
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
# The tests of the kernel tier that wait for whole proofs, which run beside those against an API
# server; the others take one CPU at a time, and so does the one that analyses the whole library.
ON_PROOFS := $(filter-out tests/kernel/test_library.py,$(shell grep -l 'laboratory: Laboratory' tests/kernel/test_*.py))
WITHOUT_PROOFS := $(filter-out $(ON_PROOFS) $(STOCK),$(wildcard tests/kernel/test_*.py))

# `check` comes before `setup`, and apt serves one at a time.
.NOTPARALLEL:

.PHONY: help init setup generate format check test test-unit test-kube test-kernel test-e2e test-survival \
	test-stock test-verifier-job demo bench-verifier bench-kernels bench-library bench-schedulers images schedulers stock clean clean-cache

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

init: ## The Python environment, from uv.lock
	@bash lab/bootstrap

setup: init ## What the lab needs: host packages, kernel, kube binaries, schedulers, node image
	@$(LAB) setup

generate: init ## Rewrite what is made from models and manifests: CRDs, docs/schedulers.md
	@$(PY) -m schedcp_lab.generate

format: init ## Format Python and C in place
	@$(PY) -m ruff format $(PYTHON_ROOMS)
	@$(PY) -m ruff check --fix $(PYTHON_ROOMS)
	@clang-format-19 -i $(or $(C_SOURCES),$(error git lists no C sources here))

check: init ## Formatting, lint, types, import contracts, generated files, chart
	@$(PY) -m ruff format --check $(PYTHON_ROOMS)
	@$(PY) -m ruff check $(PYTHON_ROOMS)
	@$(PY) -m mypy crds/schedcp_api operator/schedcp_operator nodeagent/schedcp_agent \
		nodeagent/schedcp_verifier lab/schedcp_lab
	@PATH=.venv/bin:$$PATH $(PY) -c "from importlinter.cli import lint_imports_command as m; m()"
	@$(PY) -m schedcp_lab.generate --check
	@$(LAB) setup --only tools,helm
	@clang-format-19 --dry-run --Werror $(or $(C_SOURCES),$(error git lists no C sources here))
	@$(LAB) helm lint charts/schedcp

schedulers: setup ## Build the schedulers, the loader and the guest programs
	@$(LAB) setup --only schedulers

stock: init ## Build the scx project's own schedulers, which the manifests pin; ten minutes, once
	@$(LAB) setup --only stock

images: setup ## Build the container images, with the stock schedulers if they are built
	@$(LAB) setup --only images

test: check setup ## Every check and every tier, but for test-survival, test-stock, test-verifier-job
	@bash tests/support/side_by_side.sh \
		$(PYTEST) --require kube,kernel --durations=25 tests/kube $(ON_PROOFS) -- \
		$(PYTEST) --require kernel --durations=25 tests/unit $(WITHOUT_PROOFS)
	@$(PYTEST) --require e2e --durations=0 --ignore=$(SURVIVAL) --ignore=$(VERIFIER_JOB) tests/e2e

test-unit: init ## Tests without network, clock or processes of their own
	@$(PYTEST) tests/unit

test-kube: setup ## Tests against a real API server, and of the images as the chart runs them
	@$(PYTEST) --require kube tests/kube

test-kernel: setup ## Tests on a real sched_ext kernel in QEMU
	@$(PYTEST) --require kernel --ignore=$(STOCK) tests/kernel

test-stock: setup stock ## The stock schedulers against what their manifests say; half an hour and more
	@$(PYTEST) --require kernel $(STOCK)

test-e2e: setup ## The whole loop on a cluster of micro-VMs
	@$(PYTEST) --require e2e --ignore=$(SURVIVAL) --ignore=$(VERIFIER_JOB) tests/e2e

test-survival: setup ## Kills, a better scheduler and uninstallation on a cluster; 20 minutes
	@$(PYTEST) --require e2e $(SURVIVAL)

# sudo gives root's own PATH and drops variables: what setup saw is handed on.
test-verifier-job: init ## The verifier's Jobs in real pods; this machine is their node meanwhile
	@$(LAB) setup --only tools,helm,schedulers,images,node
	@$(AS_ROOT) env PATH="$$PATH:/usr/sbin:/sbin" $${KUBEBUILDER_ASSETS:+"KUBEBUILDER_ASSETS=$$KUBEBUILDER_ASSETS"} \
		PYTHONDONTWRITEBYTECODE=1 tests/support/apart.sh \
		$(PYTEST) -p no:cacheprovider --require e2e --durations=0 $(VERIFIER_JOB)

demo: setup ## The main job, end to end, on a cluster of micro-VMs
	@$(LAB) demo

bench-verifier: init ## The verifier on schedulers that must be stopped and on good ones; BENCH='--static' is short
	@$(LAB) setup --only tools,schedulers
	@$(LAB) bench verifier $(BENCH)

bench-kernels: init ## The library on every kernel that the package source has: what runs, or why not
	@$(LAB) setup --only tools,schedulers
	@$(LAB) bench kernels $(BENCH)

bench-library: init ## The whole verifier on the library: accepted or why not, and what of the CPU contract is lost
	@$(LAB) setup --only tools,schedulers
	@$(LAB) bench library $(BENCH)

bench-schedulers: init ## Schedulers side by side on virtual time: latency, batches, builds, shares
	@$(LAB) setup --only tools,schedulers
	@$(LAB) bench schedulers $(BENCH)

clean: ## Remove what was built, keep what was fetched
	@test ! -e .cache/run/lock || flock --nonblock .cache/run/lock true \
		|| { echo "error: a lab of this checkout is running; stop it first" >&2; exit 1; }
	@rm -rf schedulers/.output .pytest_cache .mypy_cache .ruff_cache .cache/run .cache/bench

clean-cache: clean ## Remove all that was fetched or built, but Debian's packages; image builds leave root's files
	@$(AS_ROOT) rm -rf --one-file-system .cache .venv
