"""The commands, queries and pictures of the documents: commands run, smaller where they take long, and make what is shown.

The lists say of each command whether and how it runs in here, and which command makes a picture.
"""

import configparser
import contextlib
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess

import keras
import pytest

import keras_optims
from scripts import ideas, picture_claims
from tests import pages
from tests.pages import PAGES, ROOT, commands, words_of
from tuning.command.line import _parser, main
from tuning.results.search import SearchResult

pytestmark = pytest.mark.backend("tensorflow")

# Commands that begin so run, with these flags in addition, so that they take only seconds; the last of two equal flags counts.
SEARCH = "--problem digits_mlp --trials 1 --epochs 1 --train-samples 256 --jit off --repeats 1 --workers 1"
RUN = {
    "keras-optims tune": f"{SEARCH} --directory results/{{optimizer}}-{{problem}}",
    "keras-optims tune adam --problem digits_mlp --trials 12": "",
    "keras-optims tune adam --problem my_problem:make_problem": "--trials 1 --epochs 1 --jit off",
    "keras-optims init": "",
    "keras-optims report": "",
    "keras-optims landscape": "",
    "keras-optims landscape --out landscape.html": "--steps 20",
    "keras-optims range-test": "--train-samples 512",
    "keras-optims compare": f"{SEARCH} --confirmations 2 --directory results/compare-{{problem}}",
    "python scripts/benchmark_step_log.py": "--steps 45",
    "python scripts/benchmark_training.py": "--case digits_mlp --rounds 1 --steps 5",
    "python scripts/benchmark_update.py": "--case mlp --rounds 2",
    "python scripts/picture_step_log.py": "--epochs 3 --output step_log.png",
    "python scripts/picture_report.py": "--output compare-mnist_mlp.png",
    "python scripts/picture_claims.py inertia": "--output .",
    "python scripts/picture_optimizers.py lion": "--output .",
    "python scripts/train_untuned.py": "--epochs 1 --seeds 1",
}

# Commands that begin so do not run in here; their arguments are looked at.
NOT_RUN = {
    "keras-optims compare adamw lion muon": "takes 20 minutes; the one on digits_mlp runs",
    "keras-optims doctor": "takes a minute; tests/tuning/test_doctor.py",
    "keras-optims init my_problem.py --kind": "the file is there; tests/tuning/test_own_problem.py",
    "keras-optims export DIR": "DIR stands for a folder; tests/tuning/test_export.py",
    "keras-optims train": "trains anew what a search has found; tests/tuning/test_train_best.py",
    "keras-optims report results --watch": "as the next one",
    "keras-optims report results/adam-digits_mlp --watch": "serves until it is interrupted; tests/tuning/test_live_page.py",
    "keras-optims report results/adam-digits_mlp results/compare-digits_mlp": "tests/tuning/test_report.py",
    "keras-optims show DIR": "DIR stands for a folder; tests/tuning/test_search.py",
    "keras-optims tune adam --trials 20 --workers 1": "tests/tuning/test_search.py",
    "keras-optims tune adam --trials 200 --engine ray": "tests/tuning/test_ray.py",
    "keras-optims tune adam --trials 2000 --engine ray": "needs a cluster; tests/tuning/test_ray.py",
    "keras-optims tune adam --problem digits_mlp --max-epochs": "tests/tuning/test_budget.py",
    "keras-optims tune adam --problem digits_mlp --trials 16 --confirmations": "tests/tuning/test_first.py",
    "keras-optims tune adam --problem digits_mlp --start-with": "tests/tuning/test_first.py",
    "keras-optims tune adam --problem digits_mlp --oracle pbt": "tests/tuning/test_population_training.py",
    "keras-optims tune adam --problem digits_mlp --trials 16 --epochs": "tests/tuning/test_further.py",
    "keras-optims tune --plan": "tests/tuning/test_plan.py",
    "keras-optims tune adam --problem digits_mlp --search units": "tests/tuning/test_structure.py searches such axes",
    "keras-optims tune adam --problem digits_mlp --trials 8 --log": "tests/tuning/test_trackers.py",
    "keras-optims compare adam momentum --trials 8 --log": "tests/tuning/test_trackers.py",
    "keras-optims tune adamw --problem shakespeare_gpt": "trains for minutes; tests/tuning/test_problems.py",
    "keras-optims tune momentum --problem cifar10_resnet20": "trains for minutes; tests/tuning/test_problems.py",
    "keras-optims tune adam,momentum": "tests/tuning/test_structure.py",
    "keras-optims compare adam keras:Adam": "tests/tuning/test_structure.py",
    "ray start": "needs a cluster",
    "pip install": "installs; tests/test_packaging.py",
    "python -m build": "tests/test_packaging.py",
    "scripts/check.sh": "is not about the pages",
    "scripts/quickstart.sh": "installs",
    "scripts/setup_mac.sh": "for a Mac; tests/test_mac_setup.py runs it with stubs",
    "scripts/test.sh": "runs these tests",
    "KERAS_BACKEND=jax $(scripts/environment.sh jax) -m pytest": "runs tests",
    ".venvs/tensorflow/bin/ruff": "changes files",
    ".venvs/tensorflow/bin/mypy": "is not about the pages",
    ".venvs/tensorflow/bin/python scripts/run_notebook.py": "tests/test_notebook.py",
    ".venvs/tensorflow/bin/mkdocs build": "tests/test_site.py",
    "python -c 'import secrets": "prints a secret",
    "python scripts/benchmark_engine.py --engine ray": "starts a Ray",
    "python scripts/benchmark_engine.py --structures": "trains 48 trials of 18 structures twice",
    "python scripts/benchmark_search.py": "needs real data sets and minutes",
    "python scripts/benchmark_time_to_target.py": "takes hours; tests/tuning/test_time_to_target.py",
    "python scripts/benchmark_update.py --backend torch": "is not this backend",
    "python scripts/contract_table.py": "takes ten minutes; tests/test_contract.py",
    "python scripts/measure_accelerator.py": "takes 8 minutes and wants a GPU; tests/test_measure_accelerator.py",
    "python scripts/metal_coverage.py": "takes a minute and writes a page; tests/test_metal.py",
    "python scripts/published_figures.py": "wants a GPU; tests/tuning/test_problems.py runs it on a few images",
    "python scripts/slots_in_fewer_bits.py": "takes minutes; tests/test_quantized.py trains so",
    "python scripts/evidence.py": "takes hours; tests/tuning/test_evidence.py runs it on a few digits",
    "python scripts/evidence_cost.py": "takes minutes; tests/tuning/test_evidence.py",
    "python scripts/evidence_pages.py": "changes the pages; tests/tuning/test_evidence.py",
    "python scripts/sensitivity.py": "takes half an hour; tests/tuning/test_sensitivity.py",
    "python scripts/picture_claims.py": "tests/test_claims.py draws each picture; one of them is drawn in here",
    "python scripts/picture_optimizers.py": "tests/test_ideas.py has what each picture shows; one of them is drawn in here",
    "KERASTUNER_ORACLE_IP=10.0.0.1": "several machines; tests/tuning/test_chief_and_workers.py",
    "TF_CONFIG=": "several machines; tests/distribution/workers.py",
}

# What the commands of a page write.
WRITTEN = {
    "README.md": [
        *("results/adam-digits_mlp/best.json", "results/adam-digits_mlp/search.sqlite", "results/adam-digits_mlp/report.html"),
        *("results/compare-digits_mlp/comparison.json", "results/compare-mnist_mlp/report.html"),
    ],
    "landscape.md": ["landscape-plateau.png", "landscape-ravine.png", "landscape.html"],
}

# Which command makes a picture of docs/pictures; it stands in the section of each page that shows the picture.
MADE_BY = {
    r"claim_(\w+)\.png": "python scripts/picture_claims.py {}",
    r"idea_(\w+)\.png": "python scripts/picture_optimizers.py {}",
    r"compare-(\w+)\.png": "python scripts/picture_report.py results/compare-{0} --output docs/pictures/compare-{0}.png",
    r"landscape-(plateau)\.png": "keras-optims landscape --surface {0} --out landscape-{0}.png",
    r"landscape-learning_rates\.png": "keras-optims landscape "
    + " ".join(f"gradient_descent:learning_rate={rate}" for rate in (0.004, 0.02, 0.038, 0.041))
    + " --surface ravine --steps 60 --out landscape-learning_rates.png",
    r"range_test\.png": "keras-optims range-test adam --out range_test.png",
    r"sensitivity_(\w+)\.png": "python scripts/sensitivity.py picture {}",
    r"step_log\.png": "python scripts/picture_step_log.py",
    r"which\.png": "python scripts/evidence_pages.py",
}

# Indented blocks that are no commands begin so, and a test compares what is printed, or runs these lines of a program, in
OTHER_BLOCKS = {
    ("README.md", "Adam on digits_mlp: 12 trials"): "test_commands.py",
    ("comparing.md", "4 optimizers on digits_mlp"): "test_commands.py",
    ("comparing.md", "optimizer            test_accuracy"): "test_commands.py",
    ("distribution.md", "strategy = tf.distribute.MultiWorkerMirroredStrategy()"): "distribution/workers.py",
    ("distribution.md", "devices = keras.distribution.DeviceMesh"): "distribution/sharded.py",
    ("distribution.md", "torch.distributed.init_process_group"): "distribution/data_parallel.py",
    ("mac.md", 'with keras.device("cpu:0"):'): "test_commands.py",
    ("own_problem.md", '"""A module of torch'): "tuning/test_own_problem.py",
    ("performance.md", "variable "): "test_docs.py",
    ("searching.md", "epochs run in model.fit"): "tuning/test_callbacks.py",
    ("searching.md", "the search ended, as"): "tuning/test_budget.py",
    ("searching.md", "Was tuning worth it?"): "tuning/test_first.py",
    ("searching.md", 'optimizer = "adam"'): "tuning/test_plan.py",
    ("searching.md", "keras:adam is compiled anew"): "tuning/test_structure.py",
    ("rules.md", "variable "): "test_docs.py",
}


def named(page):
    return page.name


def entry(table, command):
    """The longest key of a table with which a command begins."""
    return max((key for key in table if command.startswith(key)), key=len, default=None)


def runs(command):
    return len(entry(RUN, command) or "") > len(entry(NOT_RUN, command) or "")


# -- what there is --------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_is_one_that_a_test_runs(page):
    assert {language for language, _ in pages.fences(page)} <= {"python", "sql", "math"}
    for block in pages.indented_blocks(page):
        if not all(map(pages.is_command, block)):
            known = [beginning for name, beginning in OTHER_BLOCKS if name == page.name and block[0].startswith(beginning)]
            assert known, f"neither commands nor in OTHER_BLOCKS: {block[0]}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_of_every_command_it_is_said_whether_it_runs(page):
    assert [command for command in commands(page) if not entry(RUN, command) and not entry(NOT_RUN, command)] == []


def test_the_lists_hold_nothing_that_is_on_no_page():
    found = [command for page in PAGES for command in commands(page)]
    assert {entry(NOT_RUN, command) for command in found if not runs(command)} == set(NOT_RUN)
    assert {entry(RUN, command) for command in found if runs(command)} == set(RUN)
    first_lines = [(page.name, block[0]) for page in PAGES for block in pages.indented_blocks(page)]
    for name, beginning in OTHER_BLOCKS:
        assert any(of == name and line.startswith(beginning) for of, line in first_lines), beginning
    pictures = [path.name for path in (ROOT / "docs/pictures").iterdir()]
    assert [pattern for pattern in MADE_BY if not any(re.fullmatch(pattern, name) for name in pictures)] == []


# -- their arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_keras_optims_takes_the_arguments(page):
    for command in commands(page):
        if command.startswith("keras-optims "):
            for alternative in words_of(command)[-1].split("|"):
                words = [*words_of(command)[1:-1], alternative]
                words = words[: words.index(">")] if ">" in words else words
                _parser().parse_args(words)
    mentioned = {words_of(code)[1] for code in pages.inline_code(page) if code.startswith("keras-optims ")}
    assert [name for name in mentioned if main([name, "--help"]) != 0] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_scripts_are_there_and_take_the_arguments(page):
    found = [*commands(page), *pages.inline_code(page)]
    for script in re.findall(r"(?<![\w/])scripts/\w+\.\w+", "\n".join(found)):
        text = (ROOT / script).read_text()
        if script.endswith(".sh"):
            subprocess.run(["bash", "-n", ROOT / script], check=True)
        flags = [word for command in commands(page) if script in command for word in words_of(command) if word.startswith("--")]
        assert [flag for flag in flags if f'"{flag}"' not in text and f" {flag})" not in text] == [], script
    for script, pictures in (("picture_claims", picture_claims.PICTURES), ("picture_optimizers", ideas.IDEAS)):
        drawn = [words_of(command)[2:] for command in found if command.startswith(f"python scripts/{script}.py")]
        assert {name for names in drawn for name in names} <= set(pictures)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_flags_that_the_text_names_exist(page):
    scripts = "".join(script.read_text() for script in ROOT.glob("scripts/*.*"))
    (commands_of,) = (action for action in _parser()._actions if isinstance(action.choices, dict))
    ours = {flag for command in commands_of.choices.values() for flag in command._option_string_actions}
    known = set(re.findall(r"(?<=[\"' ])--[a-z-]+", scripts)) | ours | {"--version"}
    flags = [re.match(r"--[a-z-]+", code) for code in pages.inline_code(page)]
    assert {flag[0] for flag in flags if flag} - known == set()


def test_the_extras_that_pip_is_told_to_install_exist():
    setup = configparser.RawConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted, others = set(), set()
    for page in PAGES:
        for command in commands(page):
            if command.startswith("pip install "):
                for requirement in words_of(command)[2:]:
                    ours = re.fullmatch(r"(?:\.|keras-optims)\[([\w,]+)\]", requirement)
                    wanted |= set(ours[1].split(",")) if ours else set()
                    others |= set() if ours else {requirement}
    assert wanted <= set(setup["options.extras_require"])
    assert len(wanted) > 5
    assert others == {"optax", "tf_keras", "tensorflow", "tensorflow[and-cuda]", "tensorflow-metal", "jax[cuda13]"}


def test_ray_takes_the_arguments():
    scripts = pytest.importorskip("ray.scripts.scripts")
    found = [words_of(command) for page in PAGES for command in commands(page) if command.startswith("ray ")]
    for _, name, *arguments in found:
        scripts.cli.commands[name].make_context(name, arguments)
    assert len(found) == 2


# -- run ------------------------------------------------------------------------------------------


def first_pages():
    """[(page, those of its commands that run and stand on no page before it)], the README first."""
    taken, found = set(), []
    for page in sorted(PAGES, key=lambda page: page.name != "README.md"):
        own = [command for command in commands(page) if runs(command) and command not in taken]
        taken |= set(own)
        found += [pytest.param(page, own, id=page.name)] if own else []
    return found


def smaller(command):
    """The words of a command, with what makes it small."""
    flags = RUN[entry(RUN, command)]
    if "{problem}" in flags:
        given = _parser().parse_args(words_of(command)[1:])
        flags = flags.format(problem=given.problem or "digits_mlp", optimizer=getattr(given, "optimizer", None))
    return [*words_of(command), *flags.split()]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "own"), first_pages())
def test_the_commands_of_a_page_run(page, own, tmp_path, forks):
    """In one folder, each in a process of its own; a command that several pages have runs once."""
    if shutil.which("chromium") is None and not os.environ.get("CI"):
        own = [command for command in own if not command.startswith("python scripts/picture_")]
    outputs = {}
    for command in own:
        program, *arguments = smaller(command)
        program = ROOT / "tuning/__main__.py" if program == "keras-optims" else ROOT / arguments.pop(0)
        returncode, outputs[command] = forks.run(tmp_path, program, *arguments)
        assert returncode == 0, f"{command}\n{outputs[command]}"
    assert [name for name in WRITTEN.get(page.name, []) if not (tmp_path / name).is_file()] == []
    for picture in tmp_path.glob("*.png"):
        committed = ROOT / "docs/pictures" / picture.name
        assert not committed.exists() or size_of(picture) == size_of(committed), picture.name
    if page.name == "README.md":
        (search,) = (block for block in pages.indented_blocks(page) if not pages.is_command(block[0]))
        comparison = pages.lines_beginning("docs/comparing.md", "4 optimizers on digits_mlp").splitlines()
        assert_is_that_search(search, outputs["keras-optims tune adam --problem digits_mlp --trials 12"])
        comparing = "keras-optims compare momentum adagrad rmsprop adam --problem digits_mlp --trials 8"
        assert_has_that_form(comparison, outputs[comparing])


def size_of(png):
    """Width and height in pixels."""
    return struct.unpack(">II", png.read_bytes()[16:24])


def assert_is_that_search(shown, printed):
    """The same settings, which follow from the seed; the accuracies of another machine may differ by some of 360 samples."""
    lines = printed.splitlines()
    for line in shown:
        setting, _, found = line.partition(": val_accuracy ")
        if line.startswith("trial "):
            (same,) = (each for each in lines if each.startswith(setting + ":"))
            accuracy, _, rest = found.partition(" ")
            again, _, other_rest = same.partition(": val_accuracy ")[2].partition(" ")
            assert float(again) == pytest.approx(float(accuracy), abs=0.02)
            assert shape(rest) == shape(other_rest)
        elif line.startswith("    keras_optims."):
            (same,) = (each for each in lines if each.startswith(line.partition("(")[0]))
            best, again = (eval(each.strip(), {"keras_optims": keras_optims}) for each in (line, same))
            assert best.get_config().keys() == again.get_config().keys()
        elif line != "...":
            assert shape(line) in map(shape, lines)


def assert_has_that_form(shown, printed):
    """The same lines but for their numbers, and which optimizers differ."""
    of_pairs = re.compile(r"^  \w+ (and \w+ do not differ significantly|is better than \w+):")
    there = [shape(line) for line in printed.splitlines() if not of_pairs.match(line)]
    assert [line for line in shown if line.strip() != "..." and not of_pairs.match(line) and shape(line) not in there] == []
    assert len([line for line in printed.splitlines() if of_pairs.match(line)]) == 6


def shape(line):
    """A line without its numbers, its spaces, the rest of a time, and whether there are several of what is counted."""
    line = re.sub(r"(?<=\d trial)s?(?= each)|(?<=\d epoch)s?\b", "", line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,:]*(e-\d+)?( min| s\b)?", "#", re.sub(r"as (graph|xla)", "as #", line))).strip()


# -- queries --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_queries_of_the_store_find_a_search(tmp_path, forks):
    (tmp_path / "search.py").write_text(
        "import tuning\n"
        "tuning.search('adam', problem='digits_mlp', trials=2, epochs=2, repeats=2, seed=3, jit='off', directory='results')\n"
    )
    returncode, output = forks.run(tmp_path, "search.py")
    assert returncode == 0, output
    result = SearchResult.load(tmp_path / "results")
    with contextlib.closing(sqlite3.connect(tmp_path / "results/search.sqlite")) as store:
        store.row_factory = sqlite3.Row
        best, curve, schedule, states, repeated, (made,) = (
            [dict(row) for row in store.execute(text)]
            for language, text in pages.fences(ROOT / "docs/store.md")
            if language == "sql"
        )
    trials = sorted(result.trials, key=lambda trial: -trial.score)
    rates = [trial.hyperparameters["learning_rate"] for trial in trials]
    assert best == [
        {"number": trial.number, "score": trial.score, "learning_rate": rate} for trial, rate in zip(trials, rates, strict=True)
    ]
    assert [(row["execution"], row["epoch"]) for row in curve] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(0 < row["value"] <= 1 for row in curve)
    assert schedule == [{"epoch": 0, "learning_rate": result.trials[0].hyperparameters["learning_rate"]}]
    assert [(row["state"], row["trials"]) for row in states] == [("completed", 2)]
    assert states[0]["seconds"] > 0
    assert [(row["trial"], row["executions"]) for row in repeated] == [(trial.number, 2) for trial in trials]
    for row, trial in zip(repeated, trials, strict=True):
        assert row["mean"] == pytest.approx(trial.score)
        assert row["spread"] >= 0
    assert made["seed"] == 3
    assert json.loads(made["versions"])["keras"]


# -- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_command_that_makes_a_picture_stands_beside_it(page):
    for section in pages.sections(page):
        for picture in re.findall(r"!\[[^]]*\]\(\S*?([\w.-]+)\)", section):
            makers = [text.format(*found.groups()) for key, text in MADE_BY.items() if (found := re.fullmatch(key, picture))]
            assert len(makers) == 1, f"MADE_BY does not say what makes {picture}"
            (makes,) = makers
            assert re.search(rf"(`|^    ){re.escape(makes)}(`|$| {{2,}}#)", section, flags=re.MULTILINE), makes


def test_every_picture_is_shown_on_a_page():
    shown = {name for page in PAGES for name in re.findall(r"\]\(\S*?([\w.-]+\.(?:png|svg|gif))\)", page.read_text())}
    files = {path.name for path in (ROOT / "docs/pictures").iterdir()}
    narrow = {name for name in files if name.endswith(".narrow.png")}
    assert files - narrow == shown
    assert {name.replace(".narrow", "") for name in narrow} <= shown


# -- lines that are no command --------------------------------------------------------------------


def test_a_model_can_be_made_on_the_cpu():
    (lines,) = (block for block in pages.indented_blocks(ROOT / "docs/mac.md") if not pages.is_command(block[0]))
    found = {"keras": keras}
    exec("\n".join([*lines, "    weight = keras.Variable([1.0])"]), found)
    assert "CPU" in found["weight"].value.device
