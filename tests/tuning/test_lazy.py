"""What must be quick and light is."""

import json
import subprocess
import sys
import time

import pytest

from tests.tuning.conftest import environment, run

HEAVY = (
    "tensorflow",
    "torch",
    "jax",
    "keras",
    "keras_tuner",
    "pandas",
    "rich",
    "scipy",
    "sklearn",
    "numpy",
    "plotly",
    "jinja2",
    "optuna",
    "cmaes",
    "ray",
    "grpc",
)


@pytest.mark.parametrize(
    "code",
    [
        "import tuning; dir(tuning)",
        "from tuning.cli import main; assert main(['--help']) == 0",
        "from tuning.cli import main; assert main(['tune', '--help']) == 0",
        "from tuning.cli import main; assert main(['problems']) == 0",
        "from tuning.cli import main; assert main(['tune', 'adam', '--search', 'x=1']) == 2",
        "from tuning.cli import main; assert main(['show', 'nowhere']) == 2",
        "from tuning.cli import main; assert main(['optimizers']) == 0",
        "from tuning.cli import main; assert main(['tune', 'sgdd']) == 2",
        "from tuning.cli import main; assert main(['tune', 'adam', '--problem', 'mnist']) == 2",
        "from tuning.cli import main; assert main(['tune', 'adam', '--search', 'lr=0.1:1']) == 2",
        "from tuning.cli import main; assert main(['tune', 'adam,momentum', '--search', 'adam.bta_2=0.8:0.9']) == 2",
        "from tuning.cli import main; assert main(['compare', 'adam', '--fix', 'unit=3']) == 2",
        "import tuning.store.database, tuning.results.search, tuning.names",
        "import tuning.console.comparison_table",
        "from tuning.cli import main; assert main(['compare', '--help']) == 0",
        "from tuning.cli import main; assert main(['export', 'nowhere', '--to', 'optuna']) == 2",
    ],
)
def test_nothing_heavy_is_imported(code, tmp_path):
    report = f"; import sys, json; sys.stderr.write('\\n' + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + report], env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert time.perf_counter() - begun < 5  # well below a second on an idle machine


def test_names_of_the_package_are_there():
    import tuning

    for name in tuning.__all__:
        assert getattr(tuning, name).__name__
    assert set(tuning.__all__) <= set(dir(tuning))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tuning.nothing


def test_the_version_is_printed(tmp_path):
    status, stdout, _ = run("--version", cwd=tmp_path)
    assert status == 0
    assert stdout.startswith("keras-optims ")
