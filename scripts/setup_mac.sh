#!/usr/bin/env bash
# Sets up the GPU of a Mac with Apple silicon: finds a Python for it, makes an environment, installs keras-optims with
# tensorflow-metal, and has `keras-optims doctor` check that they work together.
#
#     scripts/setup_mac.sh [--directory DIR]
#
#     --directory DIR   where the environment is made; .venv in this repository, if not given
#
# Safe to run again: an environment that fits is kept, and brought to the versions that work together if it has others.
# PYTHON names the interpreter to use, where it is not found by itself.
# Exit status: that of the doctor (0 ready, 1 a check failed, and the environment is kept); 2 if nothing could be set up.
set -euo pipefail # macOS has Bash 3.2: no associative arrays, no mapfile, and an empty array is an unset variable

die() {
  echo "setup_mac.sh: $*" >&2
  exit 2
}

venv=
while [ $# -gt 0 ]; do
  case $1 in
    --directory)
      venv=${2:-}
      [ -n "$venv" ] || die "--directory needs the name of a folder."
      shift
      ;;
    --help | -h)
      sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) die "takes --directory DIR and nothing else; received '$1'." ;;
  esac
  shift
done
case $venv in
  '' | /*) ;;
  *) venv=$PWD/$venv ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${venv:-$PWD/.venv}

# -- the machine ----------------------------------------------------------------------------------

is_set() {
  [ "$(sysctl -n "$1" 2>/dev/null || true)" = 1 ]
}

[ "$(uname -s)" = Darwin ] || die "this is not a Mac (but $(uname -s)); elsewhere, pip install '.[tensorflow,tuning]' is all it takes."
if [ "$(uname -m)" != arm64 ]; then
  is_set sysctl.proc_translated || is_set hw.optional.arm64 ||
    die "this Mac has an Intel processor, and tensorflow-metal is for Apple silicon only;" \
      "for TensorFlow on the CPU: pip install '.[tensorflow,tuning]' with Python 3.11 or 3.12."
  echo "This shell runs under Rosetta, as a program for Intel Macs does; going on as a native one."
  echo "Use the environment from a native terminal as well: under Rosetta a Python for both kinds of Mac runs as the Intel one."
  exec arch -arm64 /bin/bash scripts/setup_mac.sh --directory "$venv"
fi
macos=$(sw_vers -productVersion)
IFS=. read -r major minor _ <<<"$macos"
[ "$major" -gt 12 ] || { [ "$major" = 12 ] && [ "${minor:-0}" -ge 1 ]; } ||
  die "tensorflow-metal needs macOS 12.1 or newer; this is macOS $macos."

# -- its Python -----------------------------------------------------------------------------------

# Prints why an interpreter cannot be used; nothing if it can.
objection() {
  local found
  # Without Apple's developer tools, to run this one opens a window that offers them.
  if [ "$1" = /usr/bin/python3 ] && ! xcode-select -p >/dev/null 2>&1; then
    echo "only offers to install Apple's developer tools"
    return
  fi
  found=$("$1" -c 'import platform, sys; print("%d.%d" % sys.version_info[:2], platform.machine())' </dev/null 2>/dev/null) || {
    echo "does not run"
    return
  }
  case $found in
    '3.11 arm64' | '3.12 arm64') ;;
    *' arm64') echo "is Python ${found% *}, for which there is no tensorflow-metal" ;;
    *) echo "is built for ${found#* }, not arm64: it would run under Rosetta, where TensorFlow does not" ;;
  esac
}

# Prints where a Python 3.12 or 3.11 may be, the best place first; not all of these exist.
candidates() {
  local version
  for version in 3.12 3.11; do
    type -aP "python$version" || true
    echo "/opt/homebrew/bin/python$version"
    echo "/opt/homebrew/opt/python@$version/bin/python$version"
    echo "/Library/Frameworks/Python.framework/Versions/$version/bin/python$version"
    uv python find --managed-python --no-python-downloads "$version" 2>/dev/null || true
    printf '%s\n' "$(pyenv root 2>/dev/null)/versions/$version".*"/bin/python$version"
  done
  type -aP python3 || true
}

find_python() {
  local why reasons='' seen='|'
  if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
    why=$(objection "$python")
    [ -z "$why" ] || die "PYTHON=$PYTHON $why; it must be a native Python 3.11 or 3.12."
    return
  fi
  while read -r python; do
    case $seen in *"|$python|"*) continue ;; esac
    seen="$seen$python|"
    [ -x "$python" ] || continue
    why=$(objection "$python")
    [ -n "$why" ] || return 0
    reasons="${reasons:-none that fits:}
    $python $why"
  done <<END
$(candidates)
END
  die "needs a native (arm64) Python 3.11 or 3.12, and found ${reasons:-no Python at all.}
Install one, with \`brew install python@3.12\`, \`uv python install 3.12\` or the installer of python.org, and run this again;
one in another place: PYTHON=/path/to/python3.12 scripts/setup_mac.sh"
}

# -- the environment ------------------------------------------------------------------------------

unfit=$(objection "$venv/bin/python")
if [ -z "$unfit" ]; then
  echo "Keeping $venv, with $("$venv/bin/python" --version) ..."
else
  if [ -e "$venv/pyvenv.cfg" ]; then
    echo "The Python of $venv $unfit; making it anew ..."
  elif [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
    die "$venv is there, and is no virtual environment; choose another folder with --directory."
  fi
  find_python
  echo "Making $venv with $("$python" --version), $python ..."
  "$python" -m venv --clear "$venv" || die "could not make a virtual environment in $venv; the message of $python is above."
fi

# An environment that uv made has no pip.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null ||
  die "$venv has no pip, and it could not be installed; its message is above."
echo "Installing keras-optims with TensorFlow and tensorflow-metal (the first time a download of about 370 MB) ..."
"$venv/bin/python" -m pip install -qq --no-compile --disable-pip-version-check --editable '.[metal,tuning]' ||
  die "pip could not install the package; its message is above. Run this again to try again."

echo "Checking this Mac, its GPU and what was installed ..."
status=0
"$venv/bin/keras-optims" doctor || status=$?
echo
case $status in
  0) echo "Ready: models train on this Mac's GPU." ;;
  1) echo "Not ready: a check failed, and it says above what to do. The environment is kept; run this again afterwards." ;;
  *) echo "The checks themselves broke off (exit status $status); the environment is kept. To repeat them: keras-optims doctor" ;;
esac
printf 'To use the environment:   source %q\n' "$venv/bin/activate"
exit "$status"
