#!/usr/bin/env bash
# Runs the tests, after making the environments that they need in .venvs/.
#
#     scripts/test.sh [--all | --on NAME] [--quick] [ARGUMENTS of pytest]
#
#     (nothing)  on the newest TensorFlow
#     --all      also, without the `slow` ones, on TensorFlow 2.19.1 (what depends on its version), JAX and torch, keras_optims
#                alone on the lowest Keras and on one between, and the algorithms beside independent implementations; each in an
#                environment of its own
#     --on NAME  on one of these alone, as scripts/environment.sh calls it
#     --quick    without the tests marked `slow`
#
# Tests on real data sets run where KERAS_OPTIMS_DATA names a folder with them. The last line sums up all environments.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Without bytecode, each of the many processes would compile all of Keras and its backend anew: 10 seconds more for each.
unset PYTHONDONTWRITEBYTECODE

environments=(tensorflow)
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --all) environments=(tensorflow tensorflow-2.19.1 jax torch keras-lowest keras-between peers) ;;
    --on)
      environments=("${2:?--on wants the name of an environment, such as jax}")
      shift
      ;;
    --quick) arguments+=(-m 'not slow') ;;
    --help | -h)
      sed -n '2,/^set/s/^# \{0,1\}//p' scripts/test.sh
      exit 0
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

backend_of() {
  case $1 in
    tensorflow*) echo tensorflow ;;
    keras-*) echo jax ;;
    peers) echo torch ;;
    *) echo "$1" ;;
  esac
}

reports=()
for name in "${environments[@]}"; do
  python=$(scripts/environment.sh "$name")
  report=.venvs/$name-report.xml
  rm -f "$report"
  reports+=("$report")
  case $name in
    tensorflow) selection=() ;;
    keras-lowest) # what depends on Keras's version
      selection=(tests/test_{averages,formula_base,keras_seam,loading_state,namesakes,saving}.py)
      ;;
    keras-between) selection=(tests/test_{keras_seam,loading_state,saving}.py) ;;
    peers) selection=(tests/peers) ;;
    tensorflow-2.19.1) # what depends on TensorFlow's version
      selection=(-m 'not slow' tests/test_{kernels,metal,protection,sparse}.py tests/tuning/test_{doctor,warm}.py)
      ;;
    *) # what depends on the backend
      selection=(-m 'not slow' tests/tuning/test_{engines,measured,search,together,warm}.py)
      for file in tests/test_*.py; do
        case ${file#tests/test_} in
          axes.py | bad_input.py | claims.py | damaged_state.py | docs.py | names.py | packaging.py | properties.py) ;;
          namesakes.py) [ "$name" = jax ] || selection+=("$file") ;; # keras-lowest runs them on JAX
          *) selection+=("$file") ;;
        esac
      done
      ;;
  esac
  echo
  echo "== $name: $("$python" -m pip list --disable-pip-version-check 2>/dev/null |
    awk '$1 ~ /^(keras|tensorflow|jax|torch|numpy)$/ {printf "%s %s  ", $1, $2}')"
  # Small tensors in two processes: torch's threads would only wait for each other.
  OMP_NUM_THREADS=1 KERAS_BACKEND=$(backend_of "$name") "$python" -m pytest -n auto --maxprocesses=4 --junitxml="$report" \
    ${selection[@]+"${selection[@]}"} ${arguments[@]+"${arguments[@]}"} || {
    status=$?
    # 1: tests failed; 5: no test of this environment was asked for. Anything else is no result.
    [ $status = 1 ] || [ $status = 5 ] || rm -f "$report"
  }
done

# pytest counts each environment on its own; this is the sum. An environment without a report is a failure.
"$python" - "${reports[@]}" <<'END'
import sys
import xml.etree.ElementTree as ElementTree

passed = failed = skipped = 0
print()
for path in sys.argv[1:]:
    try:
        suites = ElementTree.parse(path).getroot().iter("testsuite")
    except (OSError, ElementTree.ParseError):
        print(f"{path.split('/')[-1]}: missing, pytest did not run to its end")
        failed += 1
        continue
    for suite in suites:
        counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        failed += counts["failures"] + counts["errors"]
        skipped += counts["skipped"]
        passed += counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
if passed == failed == 0:
    print("no test ran")
    failed = 1
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(failed > 0)
END
