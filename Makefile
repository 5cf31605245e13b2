.DEFAULT_GOAL := help
.PHONY: help setup demo up down test bench chaos lint sbom licences vulnerabilities

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

sbom: setup ## write build/sbom.cdx.json (CycloneDX): what the program brings, with hashes and licences
	@mkdir -p build && .cache/uv/bin/uv export --quiet --frozen --no-dev --format cyclonedx1.5 --preview-features sbom-export \
		| .venv/bin/python -m deploy.supply.licences --sbom >build/sbom.cdx.json && echo "build/sbom.cdx.json"

licences: setup ## write docs/licences.md anew from uv.lock
	@mkdir -p build && .venv/bin/python -m deploy.supply.licences >build/licences.md && mv build/licences.md docs/licences.md

vulnerabilities: setup ## look for known vulnerabilities of what uv.lock names; says so where no database can be reached
	@deploy/supply/vulnerabilities.sh $(ARGS)
