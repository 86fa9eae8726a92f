# Everything starts here; a fresh clone needs Debian, Python 3.11 and make.
#
#   make run             the main job on a lab DNS server, then serve until Ctrl-C; ONCE=1 ends after the show
#   make test            every test; as root on Debian it installs the servers that tests need
#   make check           ruff, mypy --strict, formatting
#   make chaos           kill -9, dark DNS, full disks, CHAOS_ROUNDS=100, CHAOS_SOAK=600 seconds; docs/reliability.md
#   make fuzz            every reader of strangers' octets, FUZZ_SECONDS=600 in all
#   make bench           speed, latency, memory, start, beside other servers: ten minutes; bench/README.md
#   make bench-quick     this checkout beside BASE=commit (default: where it left main) in under a minute
#   make bench-domains   a million known domains: start, memory, answers
#   make bench-proxies   Kamailio with fastvhost beside one without, DNS quick, slow and dead; needs root
#   make bench-abuse     every attack of docs/abuse.md, the DNS load it causes and who feels it
#   make whatif          DNS that fails at peak, played against CONFIG=fastvhost.toml: outage.html
#   make shipped         manual pages, shell completions and the Grafana dashboard, from the code as it is
#   make clean           remove what make made

SHELL := /bin/bash
export UV_PYTHON_DOWNLOADS := never

PYTHON ?= python3
VENV := .venv/.synced
RUN := .venv/bin/python

FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 0
CONFIG ?= fastvhost.toml
CHAOS_ROUNDS ?= 100
CHAOS_SOAK ?= 600

# The tests of a file stay together, for the servers that they share. PYTEST_PROCESSES= runs all in one process.
PYTEST_PROCESSES ?= -n auto --dist loadfile

.PHONY: run test check format chaos fuzz bench bench-quick bench-domains bench-proxies bench-abuse whatif \
	shipped clean
.DELETE_ON_ERROR:

run: $(VENV)
	$(RUN) -m tools.demo $(if $(ONCE),--once)

test: $(VENV)
	tools/install-test-servers
	@test -e fastvhost/faces/libbatch.so -a -e fastvhost/resolve/libqueries.so || $(RUN) tools/compile_batch.py
	$(RUN) -m pytest $(PYTEST_PROCESSES) $(PYTEST)

check: $(VENV)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: $(VENV)
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

chaos: $(VENV)
	tools/install-test-servers
	FASTVHOST_CHAOS_ROUNDS=$(CHAOS_ROUNDS) FASTVHOST_CHAOS_SOAK=$(CHAOS_SOAK) \
		$(RUN) -m pytest tests/chaos -rP --timeout=0 $(PYTEST)

fuzz: $(VENV)
	$(RUN) -m tools.fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

bench: $(VENV)
	tools/install-bench-peers
	@mkdir -p bench/results
	$(RUN) -m pytest bench --benchmark-enable --benchmark-only --benchmark-json=bench/results/micro.json
	$(RUN) -m bench.load
	$(RUN) -m bench.latency
	$(RUN) -m bench.million
	$(RUN) -m bench.start
	$(RUN) -m bench.report

bench-quick: $(VENV)
	$(RUN) -m bench.quick $(if $(BASE),--base $(BASE))

bench-domains: $(VENV)
	@mkdir -p bench/results
	$(RUN) -m bench.domains --output bench/results/domains.json

bench-proxies: $(VENV)
	tools/install-test-servers
	@mkdir -p bench/results
	$(RUN) -m bench.proxies --output bench/results/proxies.json

bench-abuse: $(VENV)
	tools/install-test-servers
	@mkdir -p bench/results
	$(RUN) -m bench.abuse --output bench/results/abuse.json

whatif: $(VENV)
	$(RUN) -m tools.whatif --config $(CONFIG) --report outage.html

shipped: $(VENV)
	$(RUN) -m tools.shipped

clean:
	rm -rf .venv .uv .fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks dist

# The virtual environment, exactly as uv.lock says, and the compiled form of the hot path where there is a compiler.
$(VENV): pyproject.toml uv.lock tools/uv tools/compile_batch.py fastvhost/faces/batch.c fastvhost/resolve/queries.c
	tools/uv sync --quiet --locked --all-extras --python $(PYTHON)
	$(RUN) tools/compile_batch.py
	@touch $@
