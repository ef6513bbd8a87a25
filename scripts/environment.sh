#!/usr/bin/env bash
# Makes one of the test environments in .venvs/ and prints the path of its Python.
#
#     scripts/environment.sh tensorflow|tensorflow-2.19.1|jax|torch|keras-lowest|keras-between|peers
#
# An environment is kept, and made anew when what it should hold has changed. Each has only what it is there to test, so that
# no environment hides a dependency that another one lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=${1:?usage: scripts/environment.sh NAME}
case $name in
  tensorflow) packages=('.[tensorflow,ray,docs,notebook,release,dev,mlflow,wandb]') ;;
  # The versions that the Mac GPU runs with: see the extra `metal` in setup.cfg.
  tensorflow-2.19.1) packages=('.[tensorflow,dev]' tensorflow==2.19.1 'keras>=3.15,<3.16' 'numpy>=1.26,<2.2' 'protobuf<6') ;;
  jax) packages=('.[jax,dev]') ;;
  # The version tested. Any newer one on Linux brings several GB of CUDA libraries, which the tests do not need.
  torch) packages=('.[torch,dev]' torch==2.13.0) ;;
  # keras_optims alone, without what the search needs, on the lowest Keras that setup.cfg allows.
  keras-lowest)
    lowest=$(sed -n 's/^ *keras>=\([0-9.]*\)$/\1/p' setup.cfg | head -n 1)
    packages=('.[jax]' "keras==$lowest" hypothesis pytest pytest-xdist)
    ;;
  # As that, on a version between the lowest and the newest.
  keras-between) packages=('.[jax]' 'keras==3.12.*' hypothesis pytest pytest-xdist) ;;
  # Independent implementations of the algorithms, which ours are held against step by step.
  peers) packages=('.[torch]' torch==2.13.0 optax pytorch-optimizer schedulefree prodigyopt lion-pytorch hypothesis pytest pytest-xdist) ;;
  *)
    echo "environment.sh: no environment is called '$name'." >&2
    exit 2
    ;;
esac

venv=.venvs/$name
wanted="${packages[*]}
$(cat setup.cfg pyproject.toml)"
if [ ! -f "$venv/installed" ] || [ "$(cat "$venv/installed")" != "$wanted" ]; then
  python=
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
  if [ -z "$python" ]; then
    echo "environment.sh: needs Python 3.11, 3.12 or 3.13; name one: PYTHON=/path/to/python3.11" >&2
    exit 1
  fi
  echo "Making $venv ..." >&2
  rm -rf "$venv"
  "$python" -m venv "$venv" >&2
  "$venv/bin/python" -m pip install -qq --no-compile --disable-pip-version-check "${packages[@]/#./--editable=.}" >&2
  printf '%s\n' "$wanted" >"$venv/installed"
fi
echo "$venv/bin/python"
