"""The command `keras-optims`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuning.errors import SearchError, missing_packages_explained
from tuning.names import (
    DEFAULT_ORACLE,
    DEFAULT_PRUNER,
    DEFAULT_SAMPLER,
    DEFAULT_SURFACE,
    JIT,
    ORACLES,
    PRUNERS,
    SAMPLERS,
    SURFACES,
    check_name,
)

DONE, NO_USABLE_TRIAL, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
CHECK_FAILED = 1  # of the doctor


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status, which the help explains."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as exit:  # argparse has said why
        return int(exit.code or 0)
    options.command_line = shlex.join(["keras-optims", *(word for word in arguments if word != "--fresh")])
    try:
        return options.run(options)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
    tune.add_argument("optimizer", metavar="OPTIMIZER", help="see `keras-optims optimizers`")
    _search_arguments(tune)
    tune.set_defaults(run=_tune)

    compare = commands.add_parser(
        "compare",
        help="several optimizers with equal budgets, and which differences are significant",
        description="Searches good hyperparameters of several optimizers with equal budgets, then trains each one's best setting "
        "with fresh seeds and reports the test data, which selected nothing. After Ctrl-C, or whatever ends it, the same command "
        "goes on where it stopped.",
    )
    compare.add_argument("optimizers", nargs="+", metavar="OPTIMIZER", help="see `keras-optims optimizers`")
    compare.add_argument(
        "--confirmations",
        type=_at_least_1,
        metavar="K",
        help="trainings of each best setting with fresh seeds (default: 10, or --repeats if that is more)",
    )
    _search_arguments(compare, directory="results/compare-PROBLEM, with a folder for each optimizer")
    compare.set_defaults(run=_compare)

    show = commands.add_parser("show", help="the results so far, of a running or ended search or comparison")
    show.add_argument("directory", metavar="DIR")
    show.add_argument("--json", action="store_true", help="as one JSON object, with all learning curves")
    show.set_defaults(run=_show)

    report = commands.add_parser(
        "report",
        help="write a search or a comparison as one HTML file with charts",
        description="Writes DIR/report.html, one file that needs no network, from a running or ended search or a comparison.",
    )
    report.add_argument("directory", metavar="DIR")
    report.add_argument("--json", action="store_true", help='print {"report": PATH} on stdout')
    report.set_defaults(run=_report)

    export = commands.add_parser(
        "export",
        help="write a search as tables, JSON or an Optuna study",
        description="Writes a search in another format: csv is a table of the trials and one of the learning curves, json is "
        "what `show --json` prints, optuna is a database that optuna-dashboard opens.",
    )
    export.add_argument("directory", metavar="DIR")
    export.add_argument("--to", choices=("csv", "json", "optuna"), required=True, help="the format")
    export.add_argument("--output", metavar="PATH", help="the file (default: trials.csv, search.json or optuna.db in DIR)")
    export.add_argument("--json", action="store_true", help='print {"files": [PATH, ...]} on stdout')
    export.set_defaults(run=_export)

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
    landscape.add_argument("--steps", type=_at_least_1, metavar="N", help="of each optimizer (default: the surface's own)")
    landscape.add_argument(
        "--out", metavar="FILE", help="what to write, by its suffix: .png .svg .gif .mp4 .html (default: landscape-S.png)"
    )
    landscape.add_argument(
        "--json",
        action="store_true",
        help="print the trajectories as one JSON object on stdout; only --out writes a file then",
    )
    landscape.set_defaults(run=_landscape)

    doctor = commands.add_parser(
        "doctor",
        help="check this machine: versions, kernels, right numbers, speed; the GPU of a Mac above all",
        description="Checks this machine, in about a minute: versions, the backend, the kernels of the optimizers, their results "
        "and those of layers against float64, and the time of a step against Keras's. Above all it is for the GPU of a Mac. Exit "
        "status: 0 no check failed, 1 a check failed.",
    )
    doctor.add_argument("--json", action="store_true", help="as one JSON object, with all that was measured, to send to somebody")
    doctor.set_defaults(run=_doctor)

    for name, run, text in (
        ("optimizers", _optimizers, "what can be tuned, by family"),
        ("problems", _problems, "what it can be tuned on, one line each"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--json", action="store_true", help="as one JSON object")
        command.set_defaults(run=run)
    return parser


def _search_arguments(parser: argparse.ArgumentParser, directory: str = "results/OPTIMIZER-PROBLEM") -> None:
    """What every command that searches takes; `_search_options` reads it."""
    parser.add_argument(
        "--problem",
        default="digits_mlp",
        metavar="P",
        help="see `keras-optims problems`; or your own, module:function (default: %(default)s)",
    )
    parser.add_argument("--trials", type=_at_least_1, metavar="N", help="settings to try (default: 16; hyperband: one sweep)")
    parser.add_argument("--epochs", type=_at_least_1, metavar="N", help="of a trial (default: what the problem suggests)")
    parser.add_argument("--oracle", choices=ORACLES, default=DEFAULT_ORACLE, help="who proposes settings (default: %(default)s)")
    parser.add_argument("--sampler", choices=SAMPLERS, help=f"of the oracle optuna (default: {DEFAULT_SAMPLER})")
    parser.add_argument(
        "--pruner",
        choices=PRUNERS,
        default=DEFAULT_PRUNER,
        help="stop trials that are not promising: below the median, or by successive halving (default: %(default)s)",
    )
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="NAME=LOW:HIGH[:SCALE]",
        help="search along this axis; SCALE is log, log1m (log in 1-x, for decay rates) or linear. NAME alone: its usual range",
    )
    parser.add_argument("--fix", action="append", default=[], metavar="NAME=VALUE", help="pin a hyperparameter or an option")
    parser.add_argument(
        "--seed", type=_at_least_0, default=0, metavar="S", help="the same seed gives the same trials (default: 0)"
    )
    parser.add_argument("--repeats", type=_at_least_1, default=1, metavar="K", help="trainings per setting (default: 1)")
    parser.add_argument("--train-samples", type=_at_least_1, metavar="N", help="use only so many training samples")
    parser.add_argument("--max-minutes", type=_positive, metavar="M", help="begin no trial later than this")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="where trials run: on this machine, or on a Ray cluster"
    )
    parser.add_argument(
        "--workers",
        type=_at_least_1,
        default=1,
        metavar="N",
        help="processes that train (default: 1); one that dies is replaced, and its trial run again, 3 times in all",
    )
    parser.add_argument(
        "--address", metavar="A", help="ray: of a running cluster, auto or HOST:PORT (default: a Ray of this search's own)"
    )
    parser.add_argument("--cpus-per-worker", type=_positive, metavar="N", help="ray: CPUs of a worker (default: an equal share)")
    parser.add_argument(
        "--gpus-per-worker", type=_at_least_0_float, metavar="N", help="ray: GPUs of a worker (default: 1, or a share of fewer)"
    )
    parser.add_argument(
        "--jit",
        choices=JIT,
        default="auto",
        help="compile with XLA; auto: the first trial measures both ways and keeps the faster (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-trials",
        type=_at_least_1_or_auto,
        default="auto",
        metavar="N|auto",
        help="train so many trials in one program, on JAX; auto: as many as are measured to be fastest (default: %(default)s)",
    )
    parser.add_argument("--directory", metavar="DIR", help=f"of the results (default: {directory})")
    parser.add_argument("--data-dir", metavar="DIR", help="with the data sets (default: the environment's KERAS_OPTIMS_DATA)")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on stdout")
    parser.add_argument("--fresh", action="store_true", help="delete what was found in DIR and start over")


def _search_options(options) -> dict[str, Any]:
    """The arguments of `tuning.search` that `_search_arguments` gives."""
    from tuning.space_text import parse_fix, parse_search

    return {
        "search": _pairs("--search", options.search, parse_search),
        "fix": _pairs("--fix", options.fix, parse_fix),
        **{name: getattr(options, name) for name in _PASSED_ON},
        "command": options.command_line,
    }


_PASSED_ON = (
    *("problem", "trials", "epochs", "oracle", "sampler", "pruner", "seed", "repeats", "train_samples", "max_minutes"),
    *("engine", "workers", "address", "cpus_per_worker", "gpus_per_worker", "jit", "batch_trials"),
    *("directory", "data_dir", "fresh"),
)


# -- the commands ---------------------------------------------------------------------------------


def _tune(options) -> int:
    arguments = _search_options(options)
    from tuning.quiet import import_keras_quietly

    with _searching(options):
        import_keras_quietly()
        from tuning.harness import search as run_search

        result = run_search(options.optimizer, **arguments)
    if options.json:
        _print_json(result.to_json())
    _say_best(result)
    return DONE if result.best is not None else NO_USABLE_TRIAL


def _compare(options) -> int:
    arguments = _search_options(options)
    from tuning.comparison_text import table
    from tuning.quiet import import_keras_quietly

    with _searching(options):
        import_keras_quietly()
        from tuning.comparison import compare

        result = compare(options.optimizers, confirmations=options.confirmations, **arguments)
    if options.json:
        _print_json(result.to_json())
    print(f"\n{table(result, _width(sys.stderr))}\nKept in {result.directory} (comparison.json)", file=sys.stderr)
    return DONE if result.best is not None else NO_USABLE_TRIAL


def _say_best(result) -> None:
    best = result.best
    if best is None:
        counts = ", ".join(f"{result.count(state)} {state}" for state in ("pruned", "diverged", "failed") if result.count(state))
        print(f"No trial completed ({counts or 'none began'}); see {result.directory}.", file=sys.stderr)
        return
    score = str(best.summary) if len(best.executions) > 1 else f"{best.score:.6g}"
    print(f"Best {result.objective}: {score} (trial {best.number} of {len(result.trials)})", file=sys.stderr)
    print(f"    {best.line}", file=sys.stderr)
    print(f"Kept in {result.directory} (best.json, {_store_name()})", file=sys.stderr)


def _show(options) -> int:
    from tuning import comparison_result, store
    from tuning.result import SearchResult

    directory = pathlib.Path(options.directory)
    if (directory / comparison_result.FILE_NAME).is_file() and not store.exists(directory):
        return _show_comparison(comparison_result.Comparison.load(directory), options.json)
    result = SearchResult.load(directory)
    if options.json:
        _print_json(result.to_json())
        return DONE
    from tuning.result_text import table

    print(table(result))
    return DONE


def _show_comparison(comparison, as_json: bool) -> int:
    from tuning.comparison_text import table

    if as_json:
        _print_json(comparison.to_json())
    else:
        print(table(comparison, _width(sys.stdout)))
    return DONE


def _report(options) -> int:
    from tuning.report import write_report

    path = write_report(options.directory)
    if options.json:
        _print_json({"report": str(path)})
    else:
        print(path)
    return DONE


def _export(options) -> int:
    from tuning.export import export_search

    paths = [str(path) for path in export_search(options.directory, options.to, options.output)]
    if options.json:
        _print_json({"files": paths})
    else:
        print("\n".join(paths))
    return DONE


def _landscape(options) -> int:
    if options.list:
        if options.json:
            _print_json({name: {"description": description} for name, description in SURFACES.items()})
            return DONE
        _print_columns(SURFACES)
        return DONE
    from tuning.landscape import check_writable, landscape
    from tuning.space_text import parse_contestant, parse_fix, parse_point

    check_name("surface", options.surface, SURFACES)
    fix = _pairs("--fix", options.fix, parse_fix)
    start = None if options.start is None else parse_point("--start", options.start)
    for text in options.optimizers:
        parse_contestant(text)
    out = options.out if options.out or options.json else f"landscape-{options.surface}.png"
    if out is not None:
        check_writable(pathlib.Path(out))
    from tuning.quiet import import_keras_quietly

    import_keras_quietly()
    arguments = {"fix": fix, "start": start, "steps": options.steps, "command": options.command_line}
    shown = landscape(options.optimizers, options.surface, **arguments)
    path = None if out is None else str(shown.write(out))
    if options.json:
        _print_json({**shown.to_json(), "file": path})
    else:
        print(path)
    return DONE


def _doctor(options) -> int:
    from tuning.doctor.report import examine
    from tuning.doctor.text import Printed

    with Printed(sys.stderr if options.json else sys.stdout) as printed:
        report = examine(printed.finding, printed.measuring)
    printed.summary(report)
    if options.json:
        _print_json(report.to_json())
    return CHECK_FAILED if report.failed else DONE


def _optimizers(options) -> int:
    from tuning.quiet import import_keras_quietly

    import_keras_quietly()
    with missing_packages_explained():
        import keras_optims

    described = {
        name: _described(cls, family) for family, members in keras_optims.FAMILIES.items() for name, cls in members.items()
    }
    if options.json:
        _print_json(described)
        return DONE
    indent = 2 + max(map(len, described)) + 2
    width = _width(sys.stdout)
    for number, (family, members) in enumerate(keras_optims.FAMILIES.items()):
        print(("\n" if number else "") + family.capitalize())
        for name in members:
            entry = described[name]
            axes = ", ".join(
                f"{axis['symbol']} {axis['low']:g} to {axis['high']:g} ({axis['scale']})" for axis in entry["search"].values()
            )
            text = f"{entry['summary']}; searches {axes}"
            lines = [text] if width is None else textwrap.wrap(text, max(width - indent, 30), break_long_words=False)
            print(f"  {name}".ljust(indent) + f"\n{' ' * indent}".join(lines))
    return DONE


def _described(optimizer, family: str) -> dict[str, Any]:
    axes = {
        name: {
            "symbol": hyperparameter.symbol,
            "default": hyperparameter.default,
            "low": hyperparameter.search.low,
            "high": hyperparameter.search.high,
            "scale": hyperparameter.search.scale,
        }
        for name, hyperparameter in optimizer.hyperparameters().items()
        if hyperparameter.search is not None and hyperparameter.search.by_default
    }
    summary = (optimizer.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return {"class": f"keras_optims.{optimizer.__name__}", "family": family, "summary": summary, "search": axes}


def _problems(options) -> int:
    from tuning.problems import PROBLEMS

    if options.json:
        _print_json({name: {"description": entry.description} for name, entry in PROBLEMS.items()})
        return DONE
    _print_columns({name: entry.description for name, entry in PROBLEMS.items()})
    return DONE


# -- helpers --------------------------------------------------------------------------------------


def _pairs(flag: str, texts: Sequence[str], parse) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for text in texts:
        name, value = parse(text)
        if name in pairs:
            raise SearchError(f"{flag} is given once for each name; received {name} twice.")
        pairs[name] = value
    return pairs


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False), flush=True)


def _print_columns(described: Mapping[str, str]) -> None:
    width = max(map(len, described))
    for name, description in described.items():
        print(f"{name:{width}}  {description}")


def _store_name() -> str:
    from tuning.store import FILE_NAME

    return FILE_NAME


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("keras-optims")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _width(stream) -> int | None:
    """Of the terminal that a stream is; `None` for anything else."""
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


class _Interrupted(SearchError):
    exit_status = INTERRUPTED


@contextlib.contextmanager
def _searching(options) -> Iterator[None]:
    """What holds while a command searches: how it is interrupted, and what may be written to stdout.

    With --json that is for the JSON object alone, whatever a user's problem or a library prints.
    """
    guard = contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext()
    with guard, _terminate_like_ctrl_c():
        try:
            yield
        except KeyboardInterrupt:
            raise _Interrupted(f"interrupted; finished trials are kept. To go on: {options.command_line}") from None


@contextlib.contextmanager
def _terminate_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends a search as Ctrl-C does: resumable, and with the terminal as it was."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _at_least(least: int):
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be an int of at least {least}; received {text!r}")
        return value

    return parse


_at_least_1, _at_least_0 = _at_least(1), _at_least(0)


def _at_least_1_or_auto(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return _at_least_1(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be an int of at least 1, or auto; received {text!r}") from None


def _at_least_0_float(text: str) -> float:
    return 0.0 if text.strip() in ("0", "0.0") else _positive(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0; received {text!r}")
    return value
