"""The command `keras-optims`: what it takes. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence

from tuning.command import actions
from tuning.command.arguments import DONE, INTERRUPTED, PORT, reading
from tuning.command.parser import Parser
from tuning.errors import BACKENDS, SearchError
from tuning.experiments.plan import COUNT, FLAG, OPTIONS, SEED, Option
from tuning.names import DEFAULT_KIND, DEFAULT_SURFACE, EXPORTS, KINDS

RESUMABLE = "finished trials are kept. To go on"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status, which the help explains."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is not None and getattr(sys.stdout, "errors", None) == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # β in a terminal that has no Greek, as stderr does it
    try:
        options = _parser().parse(arguments)
        once = ("--fresh", "--retry-failed")
        options.command_line = shlex.join(["keras-optims", *(word for word in arguments if word not in once)])
        if getattr(options, "backend", None) is not None:
            from tuning.runtime.quiet import choose_backend

            choose_backend(options.backend)
        return options.run(options)
    except SystemExit as exit:  # argparse has said why
        return int(exit.code or 0)
    except SearchError as error:
        print(f"keras-optims: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("keras-optims: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _backend_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help="of Keras (default: the environment's KERAS_BACKEND, else what ~/.keras/keras.json says, else tensorflow)",
    )


def _parser() -> Parser:
    parser = Parser(
        prog="keras-optims",
        description="Finds good hyperparameters for Keras optimizers.",
        epilog="Exit status: 0 done, 1 no usable trial or a failed check, 2 wrong usage or input, 130 interrupted and resumable.",
    )
    parser.add_argument("--version", action="version", version=f"keras-optims {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    tune = commands.add_parser(
        "tune",
        help="search good hyperparameters; the same command again resumes",
        description="Searches good hyperparameters of an optimizer on a problem. Results are kept as they come: after Ctrl-C, "
        "or whatever ends it, the same command goes on where it stopped.",
    )
    tune.add_argument(
        "optimizer",
        nargs="?",
        metavar="OPTIMIZER[,OPTIMIZER]",
        help="see `keras-optims optimizers`; of several, each trial has one; keras:NAME: Keras's own",
    )
    _search_arguments(tune, "results/OPTIMIZER-PROBLEM")
    tune.set_defaults(run=actions.tune, interrupted=RESUMABLE)

    compare = commands.add_parser(
        "compare",
        help="several optimizers with equal budgets, and which differences are significant",
        description="Searches good hyperparameters of several optimizers with equal budgets, then trains each one's best setting "
        "with fresh seeds and reports the test data, which selected nothing. After Ctrl-C, or whatever ends it, the same command "
        "goes on where it stopped.",
    )
    compare.add_argument(
        "optimizers", nargs="*", metavar="OPTIMIZER", help="see `keras-optims optimizers`; keras:NAME: Keras's own"
    )
    _search_arguments(compare, "results/compare-PROBLEM, with a folder for each optimizer", compares=True)
    compare.set_defaults(run=actions.compare, interrupted=RESUMABLE)

    train = commands.add_parser(
        "train",
        help="train the best setting of a search anew, and write the model",
        description="Trains the best setting of a search anew, says what it reached, on the test data too, if there are any, and "
        "writes the model as a .keras file. With the defaults it is the best trial once more.",
    )
    train.add_argument("directory", metavar="DIR", help="of a search")
    train.add_argument("--output", required=True, metavar="FILE", help="the model, such as model.keras")
    train.add_argument(
        "--epochs",
        type=reading(COUNT),
        metavar="N",
        help="default: those of the trial; with --all-data those after which it was best",
    )
    train.add_argument("--all-data", action="store_true", help="train on the training and the validation data together")
    train.add_argument("--problem", metavar="P", help="default: that of the search")
    train.add_argument("--callbacks", metavar="MODULE:FUNCTION", help="default: those of the search")
    train.add_argument("--seed", type=reading(SEED), metavar="S", help="default: that of the trial's best training")
    train.add_argument("--data-dir", metavar="DIR", help="with the data sets (default: the environment's KERAS_OPTIMS_DATA)")
    train.add_argument("--json", action="store_true", help="print what was reached as one JSON object on stdout")
    _backend_argument(train)
    train.set_defaults(run=actions.train, interrupted="nothing was written. Once more")

    init = commands.add_parser(
        "init",
        help="write a working problem of your own, to edit",
        description="Writes a file with a working problem of a kind, to edit. On that of my_problem.py "
        "`keras-optims tune adam --problem my_problem:make_problem` searches. Kinds: "
        + "; ".join(f"{name}, {text}" for name, text in KINDS.items())
        + ".",
    )
    init.add_argument("file", metavar="FILE", help="the module, such as my_problem.py")
    init.add_argument("--kind", choices=list(KINDS), default=DEFAULT_KIND, help="default: %(default)s")
    init.add_argument("--force", action="store_true", help="write over a file that is there")
    init.add_argument("--json", action="store_true", help='print {"file": PATH, "search": COMMAND} on stdout')
    init.set_defaults(run=actions.init)

    show = commands.add_parser("show", help="the results so far, of a running or ended search or comparison")
    show.add_argument("directory", metavar="DIR")
    show.add_argument("--json", action="store_true", help="as one JSON object, with all learning curves")
    show.set_defaults(run=actions.show)

    report = commands.add_parser(
        "report",
        help="searches or a comparison as one HTML file with charts, or as a page that lives",
        description="Writes DIR/report.html, one file that needs no network, from a running or ended search or a comparison; of "
        "several, whose searches stand side by side, ./report.html. With --watch it serves the same as a page that is renewed "
        "as the searches go on, to this machine alone, until Ctrl-C.",
    )
    report.add_argument("directories", nargs="+", metavar="DIR", help="of a search or a comparison")
    report.add_argument(
        "--output", metavar="FILE", help="the file (default: report.html in DIR, of several in the current folder)"
    )
    report.add_argument("--watch", action="store_true", help="serve a page that is renewed, instead of writing a file")
    report.add_argument("--port", type=reading(PORT), metavar="N", help="of the page (default: any that is free)")
    report.add_argument("--open", action="store_true", help="open it in the browser")
    report.add_argument("--json", action="store_true", help='print {"report": PATH}, or with --watch {"url": URL}, on stdout')
    report.set_defaults(run=actions.report)

    export = commands.add_parser(
        "export",
        help="write a search or a comparison as tables, JSON, an Optuna study, or runs of TensorBoard or MLflow",
        description="Writes a search in another format: csv is a table of the trials and one of the learning curves, json is "
        "what `show --json` prints, optuna is a database that optuna-dashboard opens; tensorboard and mlflow are what --log "
        "writes, as far as it is not there yet. A comparison goes to csv, tensorboard and mlflow.",
    )
    export.add_argument("directory", metavar="DIR")
    export.add_argument("--to", choices=EXPORTS, required=True, help="the format")
    export.add_argument(
        "--output",
        metavar="PATH",
        help="the file (default: trials.csv, comparison.csv, search.json or optuna.db in DIR); for tensorboard and mlflow the "
        "folder (default: DIR, or where MLFLOW_TRACKING_URI says)",
    )
    export.add_argument("--json", action="store_true", help='print {"files": [PATH, ...]} on stdout')
    export.set_defaults(run=actions.export)

    range_test = commands.add_parser(
        "range-test",
        help="sweep a learning rate, or another hyperparameter, within one training: a value and a range to search",
        description="Sweeps a hyperparameter from low to high within one training (Smith 2017), and says where the loss falls "
        "most steeply, where it diverges, and which range to search. Exit status 1: the loss does not clearly fall.",
    )
    range_test.add_argument("optimizer", metavar="OPTIMIZER", help="see `keras-optims optimizers`; keras:NAME: Keras's own")
    for name in ("problem", "fix", "seed", "train_samples", "data_dir"):
        _option_argument(range_test, OPTIONS[name])
    range_test.add_argument(
        "--search",
        action="append",
        metavar="NAME[=LOW:HIGH[:SCALE]]",
        help="what is swept (default: learning_rate), from LOW to HIGH (default: well beyond its usual range)",
    )
    range_test.add_argument("--steps", type=reading(COUNT), metavar="N", help="values (default: 100)")
    range_test.add_argument(
        "--directory", metavar="DIR", help="keep the test there, of a search or for one; `keras-optims report DIR` draws it"
    )
    range_test.add_argument(
        "--out",
        metavar="FILE",
        help="the picture, .svg or .png (default: range-test-OPTIMIZER-PROBLEM.png; none with --directory or --json)",
    )
    range_test.add_argument(
        "--json",
        action="store_true",
        help="print the sweep as one JSON object on stdout",
    )
    _backend_argument(range_test)
    range_test.set_defaults(run=actions.range_test, interrupted="nothing was written. Once more")

    landscape = commands.add_parser(
        "landscape",
        help="draw what optimizers do on a loss of two weights: picture, animation, or page with sliders",
        description="Runs optimizers on a loss of two weights and draws where they go. Without arguments: gradient descent, "
        "momentum, AdaGrad, RMSProp and Adam in a ravine, in landscape-ravine.png.",
    )
    landscape.add_argument(
        "optimizers",
        nargs="*",
        metavar="OPTIMIZER",
        help="NAME or NAME:SETTING=VALUE,SETTING=VALUE, as in momentum:momentum=0.95,nesterov=true; keras:NAME: Keras's own",
    )
    landscape.add_argument("--surface", default=DEFAULT_SURFACE, metavar="S", help="see --list (default: %(default)s)")
    landscape.add_argument("--list", action="store_true", help="list the surfaces, one line each, and do nothing else")
    landscape.add_argument(
        "--fix", action="append", default=[], metavar="NAME=VALUE", help="a setting of all optimizers that have it"
    )
    landscape.add_argument("--start", metavar="X,Y", help="the first weights (default: the surface's own); as --start=-1,2")
    landscape.add_argument("--steps", type=reading(COUNT), metavar="N", help="of each optimizer (default: the surface's own)")
    landscape.add_argument(
        "--out", metavar="FILE", help="what to write, by its suffix: .png .svg .gif .mp4 .html (default: landscape-S.png)"
    )
    landscape.add_argument(
        "--json",
        action="store_true",
        help="print the trajectories as one JSON object on stdout; only --out writes a file then",
    )
    _backend_argument(landscape)
    landscape.set_defaults(run=actions.landscape)

    doctor = commands.add_parser(
        "doctor",
        help="check this machine: versions, kernels, right numbers, speed; the GPU of a Mac above all",
        description="Checks this machine, in about a minute: versions, the backend, the kernels of the optimizers, their results "
        "and those of layers against float64, and the time of a step against Keras's. Above all it is for the GPU of a Mac. Exit "
        "status: 0 no check failed, 1 a check failed.",
    )
    doctor.add_argument("--json", action="store_true", help="as one JSON object, with all that was measured, to send to somebody")
    _backend_argument(doctor)
    doctor.set_defaults(run=actions.doctor)

    for name, run, text in (
        ("optimizers", actions.optimizers, "what can be tuned, by family"),
        ("problems", actions.problems, "what it can be tuned on, one line each"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--json", action="store_true", help="as one JSON object")
        command.set_defaults(run=run)
    return parser


def _search_arguments(parser: argparse.ArgumentParser, directory: str, compares: bool = False) -> None:
    """What every command that searches takes: the options of a plan, each `None` unless it is given."""
    parser.add_argument(
        "--plan",
        metavar="FILE",
        help="a TOML file with these options as keys, such as train_samples = 500; what is given here as well wins",
    )
    for option in OPTIONS.values():
        if option.help is not None and not (option.searches and compares):
            _option_argument(parser, option, directory)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on stdout")
    parser.add_argument("--fresh", action="store_true", help="delete what was found in DIR and start over")
    parser.add_argument(
        "--retry-failed", action="store_true", help="try the trials that failed once more, after their cause is mended"
    )
    _backend_argument(parser)


def _option_argument(parser: argparse.ArgumentParser, option: Option, directory: str = "") -> None:
    """A flag for a field of a plan, whose help may speak of the directory."""
    assert option.help is not None
    help, kind = option.help.format(directory=directory), option.kind
    if option.kind is FLAG:
        parser.add_argument(option.flag, action="store_const", const=False, dest=option.name, help=help)
    elif option.reads is not None or option.reads_each is not None:
        parser.add_argument(option.flag, action="append", metavar=option.metavar, help=help)
    elif kind.names is not None:
        action, names = "append" if option.repeats else "store", f"{{{','.join(kind.names)}}}"
        parser.add_argument(option.flag, action=action, type=reading(kind), metavar=names, help=help)
    else:
        parser.add_argument(option.flag, type=reading(kind), metavar=option.metavar, help=help)


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("keras-optims")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
