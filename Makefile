# Two commands do everything on a machine with Python and make: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint format docs clean help

help:
	@echo "make demo    install, train a small model, apply it, diagnose the run (about 3 minutes after installing)"
	@echo "make test    install and run all checks"
	@echo "make lint    the checks without the tests"
	@echo "make format  format the code"
	@echo "make docs    regenerate the generated pages of docs/ and examples/configs/"
	@echo "make clean   remove the environment and everything generated"

# The stamps make an installation happen once per change of pyproject.toml.
$(VENV)/installed: pyproject.toml
	@echo "installing into $(VENV) (torch is large: a few minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@

demo: $(VENV)/installed
	rm -rf demo
	$(BIN)/srgan synth demo/scenes --count 8 --size 640 --seed 0
	$(BIN)/srgan synth demo/unseen --count 2 --size 384 --seed 1000
	$(BIN)/srgan train examples/configs/quickstart.yaml --run-dir demo/run
	$(BIN)/srgan infer $$(ls demo/unseen/*.tif | head -n 1) demo/sr.tif --weights demo/run/weights/ema.safetensors
	$(BIN)/srgan diagnose demo/run --fail-on error
	$(BIN)/srgan evaluate demo/unseen/*.tif --weights demo/run/weights/ema.safetensors

lint: $(VENV)/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell srgan_cli tests docs examples README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed-test
	$(BIN)/srgan config schema --markdown > docs/configuration.md
	PYTHONPATH=tests/diagnose $(BIN)/python docs/make_diagnosis.py
	for name in quickstart sentinel2-cpu sentinel2-10m esrgan-x4 opensr-10m; do \
	  $(BIN)/srgan config init $$name --overwrite --output examples/configs/$$name.yaml; done

clean:
	rm -rf $(VENV) demo dist
