#!/usr/bin/env bash
# Makes .venv, installs keras-optims with TensorFlow, and searches a good setting of Adam on real handwritten digits.
#
#     scripts/quickstart.sh [OPTIONS of `keras-optims tune`]
#
# Safe to run again: what is installed stays installed, and a finished search is only shown; `--fresh` starts it over.
# PYTHON names the interpreter to use, where it is not found by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
  echo "quickstart.sh: $*" >&2
  exit 1
}

# TensorFlow has no release for Python 3.14 yet; the package itself needs 3.11.
usable() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

if [ ! -e .venv ]; then
  python=
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3 python; do
    if usable "$candidate"; then
      python=$candidate
      break
    fi
    [ "$candidate" != "${PYTHON:-}" ] || die "PYTHON=$PYTHON is not a working Python 3.11, 3.12 or 3.13."
  done
  [ -n "$python" ] || die "needs Python 3.11, 3.12 or 3.13, and found $(python3 --version 2>&1 || true) as python3." \
    "Install one of them, or name it: PYTHON=/path/to/python3.11 scripts/quickstart.sh"
  echo "Making .venv with $("$python" --version) ..."
  "$python" -m venv .venv || {
    rm -rf .venv
    die "could not make a virtual environment; on Debian and Ubuntu its module is a package of its own, python3-venv."
  }
fi
usable .venv/bin/python || die ".venv is there, but has no working Python 3.11, 3.12 or 3.13; delete it and run this again."

# What was installed is noted in a file, so that a second run installs nothing.
wanted=$(cat setup.cfg pyproject.toml)
installed=.venv/keras-optims-installed
if [ ! -f "$installed" ] || [ "$(cat "$installed")" != "$wanted" ]; then
  echo "Installing keras-optims with TensorFlow (a download of about 700 MB, a minute or two) ..."
  .venv/bin/python -m pip install -qq --no-compile --disable-pip-version-check --editable '.[tensorflow,tuning]' ||
    die "pip could not install the package; its message is above. Run this again to try again."
  printf '%s\n' "$wanted" >"$installed"
fi

echo "Searching a good setting of Adam on handwritten digits: 12 trials ..."
KERAS_BACKEND=tensorflow .venv/bin/keras-optims tune adam --problem digits_mlp --trials 12 --directory results/quickstart "$@"

cat <<END

The results are in $PWD/results/quickstart: best.json, and the SQLite file with every trial and learning curve.
To look at them again:   .venv/bin/keras-optims show results/quickstart
To tune another one:     .venv/bin/keras-optims optimizers
END
