# Every target makes its own virtual environment first; Python 3.11+ and network access are enough.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo hotel social test check bench format lock clean deploy-tools manifests

$(VENV)/installed: requirements/dev.txt pyproject.toml
	@echo "$(VENV): installing what tests and checks need (once) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)-demo/installed: requirements/demo.txt pyproject.toml
	@echo "$(VENV)-demo: installing what the demo needs (once) ..."
	$(PYTHON) -m venv $(VENV)-demo
	$(VENV)-demo/bin/python -m pip install --quiet --require-hashes -r requirements/demo.txt
	$(VENV)-demo/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)-demo/installed  ## The main job on real servers, on your screen
	$(VENV)-demo/bin/cdc-daemon demo $(DEMO_ARGS)

hotel: $(VENV)-demo/installed  ## A booking site in your browser, with all that it needs
	$(VENV)-demo/bin/python -m deploy.examples.hotel.app

social: $(VENV)-demo/installed  ## A social network, likewise
	$(VENV)-demo/bin/python -m deploy.examples.social.app

# Two at a time, each worker with servers of its own: tests wait more than they work.
test: $(VENV)/installed  ## All tests, on real servers
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(PYTEST_ARGS)

check: $(VENV)/installed  ## Lint, types, import contracts, formatting, manifests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests deploy
	MYPYPATH=benchmarks $(BIN)/mypy benchmarks
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m pytest -q $(PYTEST_ARGS) tests/deploy --ignore tests/deploy/test_image.py

deploy-tools:  ## helm and promtool for the tests of what is deployed, outside the repository
	sh tests/deploy/install_tools.sh

manifests: $(VENV)/installed  ## Write the deploy files that are made from others
	$(BIN)/python deploy/generate.py

bench: $(VENV)/installed  ## The figures that the README quotes
	$(BIN)/python benchmarks/run.py

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/installed  ## Pin again, after changing a dependency (needs uv)
	uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-header --extra demo --extra aws --extra otel --extra price --extra client pyproject.toml requirements/dev.in -o requirements/dev.txt
	uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-header --extra demo --extra client pyproject.toml requirements/demo.in -o requirements/demo.txt
	uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-header pyproject.toml -o requirements/runtime.txt

clean:
	rm -rf $(VENV) $(VENV)-demo
