# `make help` lists the targets. Every target sets the environment up first when that is needed.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup export export-onnx test lint typecheck bench bench-peer report tflite-runtime android-runner android-bench \
	test-device clean

PYTHON := .venv/bin/python
BLAZEPORT := .venv/bin/blazeport
OUT ?= build/export
CLIP ?= $(BLAZEPORT_DATA)/clips/tfjs_pose_1.mp4
PEER_FILES = $(wildcard $(foreach size,lite full heavy,$(OUT)/pose_landmark_$(size).landmarks.fp16.tflite $(OUT)/pose_landmark_$(size).fp16.tflite) \
	$(foreach range,short_range full_range_sparse,$(OUT)/face_detection_$(range).fp16.tflite))
DETECTORS = face_detection_short_range face_detection_full_range face_detection_full_range_sparse pose_detection
OFFICIALS = $(DETECTORS) $(foreach size,lite full heavy,pose_landmark_$(size))
LANDMARKS = $(foreach size,lite full heavy,pose_landmark_$(size).landmarks)
ANDROID_FILES = $(foreach name,$(DETECTORS) $(LANDMARKS),$(foreach precision,fp16 int8,$(OUT)/$(name).$(precision).tflite))
RESULT_FOLDERS = $(or $(wildcard results build/bench build/android),build/bench)
# Recipes read these from their environment, so that any folder name reaches the command unchanged.
export VARIANTS HEADS PRECISIONS CALIBRATION EVALUATE OUT CLIP PROFILE ARCH

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.weights ## Make the environment (.venv) and fetch the official weights

export: setup ## Write TFLite files and manifests (VARIANTS= HEADS= PRECISIONS= CALIBRATION= EVALUATE= OUT=)
	@$(BLAZEPORT) export $(if $(VARIANTS),--variants "$$VARIANTS") $(if $(HEADS),--heads "$$HEADS") \
		$(if $(PRECISIONS),--precisions "$$PRECISIONS") $(if $(CALIBRATION),--calibration "$$CALIBRATION") $(if $(EVALUATE),--evaluate "$$EVALUATE") -o "$$OUT"

export-onnx: setup ## Write ONNX files and manifests (VARIANTS= HEADS= OUT=)
	@$(BLAZEPORT) export --to onnx $(if $(VARIANTS),--variants "$$VARIANTS") $(if $(HEADS),--heads "$$HEADS") -o "$$OUT"

test: setup ## Run the whole test suite
	@$(PYTHON) -m pytest

lint: .venv/.environment ## Check style and formatting
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

# mypy sees nothing of an editable install; stale build folders would leak into the copy.
typecheck: .venv/.environment ## Check the types of an installed copy
	@rm -rf build/lib build/bdist.* build/typecheck
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --target build/typecheck .
	@MYPYPATH=build/typecheck $(PYTHON) -m mypy -p blazeport

bench: setup ## Measure build/export and the official files on this machine, into build/bench
	@[ -n "$(wildcard $(OUT)/*.tflite)" ] || { echo "error: nothing to measure in $$OUT. Write files with: make export" >&2; exit 1; }
	@$(BLAZEPORT) bench host $(if $(VARIANTS),$(VARIANTS),$(OFFICIALS)) $(wildcard $(OUT)/*.tflite) -o build/bench

bench-peer: setup build/peer/.mediapipe ## Measure the pose and face loops against the mediapipe package (CLIP= a video with one person)
	@$(BLAZEPORT) bench peer --clip "$$CLIP" -o build/peer.json $(PEER_FILES)

tflite-runtime: build/tflite-runtime/.made ## Make an environment with tflite-runtime 2.14 alone, for its tests

report: .venv/.environment ## Show records as one page, build/report.html (RESULTS= folders or files)
	@$(BLAZEPORT) bench report $(if $(RESULTS),$(RESULTS),$(RESULT_FOLDERS)) $(if $(wildcard $(OUT)),--models "$$OUT") -o build/report.html

android-runner: .venv/.environment ## Build the native runner for phones (needs cmake, g++ and g++-aarch64-linux-gnu)
	@$(BLAZEPORT) android build-runner

android-bench: setup ## Measure build/export on every attached phone (fp16 and int8, landmarks, one thread)
	@$(BLAZEPORT) android bench --estimate $(ANDROID_FILES)
	@$(BLAZEPORT) export --heads landmarks --precisions fp16,int8 --no-latency -o "$$OUT"
	@[ -e build/android-runner/arm64-v8a/bundle.json ] || $(BLAZEPORT) android build-runner --abi arm64-v8a
	@$(BLAZEPORT) android bench --resume -o build/android $(ANDROID_FILES)

test-device: .venv/.environment ## Run a phone for tests by hand (PROFILE=pixel|samsung|old_phone|… ARCH=native|arm64)
	@PYTHONPATH=tests $(PYTHON) -m testing.run_device $(if $(PROFILE),--profile "$$PROFILE") $(if $(ARCH),--arch "$$ARCH")

clean: ## Remove build/ (the environment stays)
	@rm -rf build

# mediapipe needs a numpy and an OpenCV of its own.
build/peer/.mediapipe:
	@rm -rf build/peer
	@$(PYTHON) -m venv build/peer
	@build/peer/bin/python -m pip install --quiet --disable-pip-version-check mediapipe==0.10.21
	@touch $@

# tflite-runtime 2.14 needs Python 3.9 to 3.11 and numpy 1; blazeport itself takes any.
build/tflite-runtime/.made: | .venv/.environment
	@rm -rf build/tflite-runtime
	@$(PYTHON) -m venv build/tflite-runtime
	@build/tflite-runtime/bin/python -m pip install --quiet --disable-pip-version-check tflite-runtime==2.14.0 'numpy<2'
	@touch $@

.venv/.weights: .venv/.environment weights/sources.py
	@$(BLAZEPORT) weights fetch
	@touch $@

# An environment of another Python, or one left half-made, is made again. sed keeps pip's log to what takes time.
.venv/.environment: requirements.lock setup.cfg pyproject.toml
	@if $(PYTHON) -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then exit 0; fi; \
	rm -rf .venv; \
	if command -v uv >/dev/null; then exec uv venv --quiet --seed --python 3.11 .venv; fi; \
	for python in python3.11 python3 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then \
			$$python -m venv .venv && exit 0; \
			rm -rf .venv; \
			echo "error: $$python cannot make an environment. On Debian and Ubuntu: apt install python3.11-venv." >&2; exit 1; \
		fi; \
	done; \
	echo "error: Python 3.11 is required and was not found (python3 is: $$(python3 --version 2>&1))." >&2; \
	echo "Install Python 3.11, or install uv, which brings its own." >&2; exit 1
	@echo "Installing the pinned packages into .venv (about 3 GB) ..."
	@set -eo pipefail; \
	if command -v uv >/dev/null; then \
		uv pip install --python $(PYTHON) -r requirements.lock; \
		uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .; \
	else \
		export PIP_DISABLE_PIP_VERSION_CHECK=1; \
		$(PYTHON) -m pip install --progress-bar off -r requirements.lock \
			| sed -nE 's/^ *((Downloading|Using cached) [^ ]+ \(.*|Building .*|Installing collected packages).*/  \1/p'; \
		$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@
