#!/usr/bin/env bash
# Lint, format and types: what must hold before any test runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$(scripts/environment.sh tensorflow)
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
