#!/usr/bin/env bash
# All that is to be shown on a GPU in one command of less than eight minutes: benchmarks/gpu.md, and --help.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" -m benchmarks.gpu.run "$@"
