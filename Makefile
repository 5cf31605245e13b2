.DEFAULT_GOAL := help
.PHONY: help setup demo up down test bench chaos lint

help: ## list what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || grep '##' $(MAKEFILE_LIST)

setup: ## install what the others need: Python packages, Java, Kafka
	@deploy/local/bootstrap.sh

demo: setup ## show the whole way of a framework contract's usage on this machine
	@.venv/bin/plafond demo $(ARGS)

up: setup ## start Kafka, PostgreSQL and the services on this machine
	@.venv/bin/plafond up $(ARGS)

down: setup ## stop what `make up` started
	@.venv/bin/plafond down $(ARGS)

test: setup ## run all tests: the core's first, then those with real servers
	@.venv/bin/python -m pytest $(ARGS)

bench: setup ## measure how much the system takes, beside the machine's limit
	@.venv/bin/plafond bench $(ARGS)

chaos: setup ## break what can break, 200 times, and see that nothing is lost
	@.venv/bin/plafond chaos --faults 200 --fuzz 1000000 $(ARGS)

lint: setup ## check style and types
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
