# Everything is installed into .venv of this checkout, and nothing outside it (but for Go's and cargo's own caches).
# `make help` lists the targets.

PYTHON ?= python3
venv := .venv
bin := $(venv)/bin
stamp := $(venv)/.set-up
frameworks := build/frameworks

# What the installed distribution is built from, besides Python (which is installed as it stands).
compiled := pyproject.toml hatch_build.py \
  $(shell find services/gateway -name '*.go' -not -name '*_test.go' -o -name 'go.mod' -o -name 'go.sum' -o -name '*.json' 2>/dev/null) \
  $(shell find services/rpc/native -path '*/target' -prune -o \( -name '*.rs' -o -name 'Cargo.toml' \) -print 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit test-go test-native test-frameworks frameworks check gen bench bench-selection bench-serving images wheel wheel-check clean

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(stamp) ## Installs everything into .venv, the gateway compiled

$(stamp): $(compiled)
	@test -x $(bin)/python || $(PYTHON) -m venv $(venv)
	@$(bin)/python -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@test -x $(bin)/uv || $(bin)/python -m pip install --quiet --disable-pip-version-check uv
	$(bin)/uv pip install --quiet --python $(bin)/python --reinstall-package clipper-serve --editable . --group dev
	@touch $@

demo: setup ## Starts a cluster, serves a digit classifier over REST and gRPC, stops
	$(bin)/python examples/demo.py

test: setup test-go test-native ## Runs all tests
	$(bin)/python -m pytest -n 2 --dist loadgroup

test-unit: setup ## Runs the quick tests: no process, no network
	$(bin)/python -m pytest tests/unit

test-go: setup
	tools/go test ./...

test-native: setup
	@if command -v cargo >/dev/null; then cd services/rpc/native && PYO3_PYTHON=$$PWD/../../../$(bin)/python cargo test --quiet --no-default-features; fi

test-frameworks: setup frameworks ## Runs the tests that need PyTorch, TensorFlow, Keras or Spark (and Java)
	$(for_spark) $(frameworks)/bin/python -m pytest -n 2 --dist loadfile -m frameworks tests/integration

# Java that starts, answers once and ends spends most of its time on compiling itself thoroughly. And it is started by a
# fork with code of Python's before the exec, where gRPC's own handlers may abort the child of a process that uses gRPC.
for_spark := JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" GRPC_ENABLE_FORK_SUPPORT=0

frameworks: $(frameworks)/.set-up ## Installs these into an environment of their own, build/frameworks (about 6 GB)

# What is compiled is in the tree already.
$(frameworks)/.set-up: pyproject.toml | $(stamp)
	@test -x $(frameworks)/bin/python || $(bin)/python -m venv --without-pip $(frameworks)
	CLIPPER_BUILD_GATEWAY=0 CLIPPER_BUILD_NATIVE=0 \
	  $(bin)/uv pip install --quiet --python $(frameworks)/bin/python --editable . --group dev --group frameworks
	@touch $@

check: setup ## Lint, types, generated code, proto rules
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	set -e; for module in . ../../examples/go_runtime ../../tests/compose_v2; do \
	  changed=$$(tools/go fmt -C $$module ./...); [ -z "$$changed" ] || { echo "gofmt has changed: $$changed"; exit 1; }; \
	  tools/go vet -C $$module ./...; \
	done
	@if command -v cargo >/dev/null; then set -ex; cd services/rpc/native; \
	  cargo fmt --check; cargo clippy --quiet --all-targets -- -D warnings; else echo "no cargo: the native transport is not checked"; fi
	tools/protos lint
	tools/protos breaking
	@before=$$($(generated) | sha256sum); tools/protos gen; \
	  [ "$$before" = "$$($(generated) | sha256sum)" ] || { echo "The generated code was stale; it is not any more."; exit 1; }

# The content of all generated files.
generated := find protos services/gateway/gen services/gateway/openapi/clipper.swagger.json \
  \( -name '*_pb2*.py*' -o -name '*.go' -o -name '*.json' \) -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum

gen: setup ## Writes the code that is generated from protos/ again
	tools/protos gen

bench: setup ## Measures all there is: calls and predictions per second (needs h2load), and bench-serving
	$(bin)/python bench/transports.py
	$(bin)/python bench/predict.py --hits
	$(MAKE) --no-print-directory bench-serving

bench-serving: setup ## Measures batching, overload and caching: in virtual time, and on a real cluster
	$(bin)/uv pip install --quiet --python $(bin)/python --group bench
	$(bin)/python bench/simulate.py
	$(bin)/python bench/serving.py

bench-selection: setup ## Measures what learning, ensembles and users' own states are worth, on real data and a real cluster
	$(bin)/uv pip install --quiet --python $(bin)/python --group bench-data
	$(bin)/python bench/regret.py
	$(bin)/python bench/selection.py

images: ## Builds the Docker images of all parts
	tools/images

wheel: setup ## Builds a wheel for this platform into dist/
	$(bin)/uv build --wheel --out-dir dist

wheel-check: setup ## Installs a wheel into an empty environment and goes through a first session there
	tools/wheel-check

clean: ## Removes all that was built or installed here
	rm -rf $(venv) build dist cli/clipper_admin/bin services/rpc/clipper_rpc/_native*.so services/rpc/native/target
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis clipper_logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
