"""What each command does. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuning.command.arguments import CHECK_FAILED, DONE, NO_USABLE_TRIAL, Interrupted
from tuning.errors import SearchError, missing_packages_explained
from tuning.experiments import plan as plans
from tuning.experiments.plan import Plan
from tuning.names import SURFACES, check_name, folder_name, sentence
from tuning.runtime.interruption import Interruption


def _plan(options, optimizers: Sequence[str]) -> Plan:
    """The plan that a command line describes: what is given there, over what its --plan says."""
    asked = plans.read(options.plan) if options.plan is not None else {}
    given: dict[str, Any] = {"optimizers": list(optimizers)} if optimizers else {}
    for name, option in plans.OPTIONS.items():
        value = getattr(options, name, None)
        if value is not None:
            given[name] = plans.value_of(option, value)
    asked = plans.over(asked, given)
    if "optimizers" not in asked:
        raise SearchError("Name an OPTIMIZER, see `keras-optims optimizers`, or give a --plan FILE that does.")
    plan = Plan(**asked)
    _check_names(plan)
    return plan


def _check_names(plan: Plan) -> None:
    """Says at once which name is wrong, where that can be told without importing a backend."""
    from tuning.problems import PROBLEMS, check_problem
    from tuning.space.catalogue import check_optimizer, names_of, optimizers
    from tuning.space.setting import Holders
    from tuning.trackers import checked

    names = [name for name in plan.optimizers if isinstance(name, str)]
    for name in names:
        check_optimizer(name)
    if isinstance(plan.problem, str):
        check_problem(plan.problem)
    checked(plan.log)
    ours = all(name in optimizers() for name in names)  # others say what they have when they are imported
    if ours and plan.problem in PROBLEMS:
        problem = str(plan.problem)
        own = {name: names_of(name, plan.schedule) for name in names}
        Holders(own, problem, list(PROBLEMS[problem].axes), plan.schedule).check(plan.search or (), plan.fix or ())


def tune(options) -> int:
    """Searches, and says what the best setting is."""
    plan = _plan(options, options.optimizer.split(",") if options.optimizer else [])

    with _searching(options):
        _import_keras()
        from tuning.experiments.search import run_and_confirm

        result = run_and_confirm(plan, fresh=options.fresh, retry_failed=options.retry_failed, command=options.command_line)
    if options.json:
        _print_json(_search_as_json(result))
    _say_best(result)
    return DONE if result.best is not None else NO_USABLE_TRIAL


def compare(options) -> int:
    """Compares optimizers, and prints the table."""
    plan = _plan(options, options.optimizers)
    from tuning.console.comparison_table import table

    with _searching(options):
        _import_keras()
        from tuning.experiments.comparison import compare

        result = compare(plan, fresh=options.fresh, retry_failed=options.retry_failed, command=options.command_line)
    if options.json:
        _print_json(result.to_json())
    print(f"\n{table(result, _width(sys.stderr))}\nKept in {result.directory} (comparison.json)", file=sys.stderr)
    return DONE if result.best is not None else NO_USABLE_TRIAL


def _search_as_json(result) -> dict[str, Any]:
    from tuning.results.worth import as_json

    return as_json(result)


def _say_best(result) -> None:
    from tuning.results.worth import worth

    best = result.best
    if best is None:
        from tuning.console.search_table import without_best

        print(without_best(result), file=sys.stderr)
        return
    score = str(best.summary) if len(best.executions) > 1 else f"{best.score:.6g}"
    print(f"Best {result.objective}: {score} (trial {best.number} of {len(result.trials)})", file=sys.stderr)
    print(f"    {best.line}", file=sys.stderr)
    if (found := worth(result)) is not None:
        print(f"Was tuning worth it? {sentence(found.text)}", file=sys.stderr)
    kept = ["best.json", _store_name(), *(name for name in [_model_name(result)] if name)]
    print(f"Kept in {result.directory} ({', '.join(kept)})", file=sys.stderr)


def show(options) -> int:
    """Prints what a search or a comparison has found so far."""
    from tuning.results.comparison import Comparison, is_comparison
    from tuning.results.search import SearchResult

    directory = pathlib.Path(options.directory)
    if is_comparison(directory):
        return _show_comparison(Comparison.load(directory), options.json)
    result = SearchResult.load(directory)
    if options.json:
        _print_json(_search_as_json(result))
        return DONE
    from tuning.console.search_table import table

    print(table(result))
    return DONE


def _show_comparison(comparison, as_json: bool) -> int:
    from tuning.console.comparison_table import table

    if as_json:
        _print_json(comparison.to_json())
    else:
        print(table(comparison, _width(sys.stdout)))
    return DONE


def train(options) -> int:
    """Trains the best setting of a search anew, and writes the model."""
    from tuning.results.search import json_ready

    with _searching(options):
        _import_keras()
        with missing_packages_explained():
            from tuning.experiments.best import checked_output, train_best
        checked_output(options.output)
        arguments = {name: getattr(options, name) for name in ("problem", "epochs", "all_data", "seed", "data_dir", "callbacks")}
        trained = train_best(options.directory, **arguments)
        path = trained.save(options.output)
    if options.json:
        _print_json({**json_ready(trained.to_json()), "output": str(path)})
    reached = ", ".join(f"{name} {value:.6g}" for name, value in trained.metrics.items())
    samples = "" if trained.samples is None else f"on {trained.samples} samples "
    print(f"{trained.line}\ntrained {samples}for {_epochs(trained)}: {reached}\n{path}", file=sys.stderr)
    return DONE


def _epochs(trained) -> str:
    last = trained.best_epoch + 1 == trained.epochs
    return f"{trained.epochs} epoch{'s' * (trained.epochs > 1)}" + ("" if last else f", best after {trained.best_epoch + 1}")


def report(options) -> int:
    """Writes the HTML file, or serves the page until it is interrupted."""
    if options.watch:
        return _watch(options)
    if options.port is not None:
        raise SearchError("--port is for --watch.")
    from tuning.report import write_report

    path = write_report(*options.directories, output=options.output)
    if options.json:
        _print_json({"report": str(path)})
    else:
        print(path)
    if options.open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    return DONE


def _watch(options) -> int:
    if options.output is not None:
        raise SearchError("--watch writes no file: leave --output out, or --watch.")
    from tuning.report.server import serve

    def ready(url: str) -> None:
        if options.json:
            _print_json({"url": url})
        else:
            print(url, flush=True)
        print("Renewed as the search goes on; Ctrl-C ends it.", file=sys.stderr)

    with contextlib.suppress(KeyboardInterrupt):  # that is how it ends
        serve(options.directories, options.port or 0, options.open, ready)
    return DONE


def export(options) -> int:
    """Writes a search or a comparison in another format."""
    from tuning.export import export_search

    paths = [str(path) for path in export_search(options.directory, options.to, options.output)]
    if options.json:
        _print_json({"files": paths})
    else:
        print("\n".join(paths))
    return DONE


def init(options) -> int:
    """Writes a problem of one's own."""
    from tuning.problems.writing import write_problem

    path = write_problem(options.file, options.kind, options.force)
    backend = " --backend torch" if options.kind == "torch" else ""
    search = f"keras-optims tune adam --problem {path.stem}:make_problem{backend}"
    if options.json:
        _print_json({"file": str(path), "search": search})
        return DONE
    print(path)
    there = "" if path.parent == pathlib.Path() else f" in {path.parent}"
    print(f"It works as it is, to be edited. To search{there}: {search}", file=sys.stderr)
    return DONE


def range_test(options) -> int:
    """Sweeps a hyperparameter, and says which range to search."""
    of_plan = ("problem", "seed", "train_samples", "data_dir")
    plan = plans.Plan(
        optimizers=[options.optimizer],
        search=plans.pairs(plans.OPTIONS["search"], options.search or []),
        fix=plans.pairs(plans.OPTIONS["fix"], options.fix or []),
        **{name: getattr(options, name) for name in of_plan if getattr(options, name) is not None},
    )
    _check_names(plan)
    from tuning.experiments.range_test import checked_picture, range_test

    out = None if options.out is None else checked_picture(options.out)
    with _searching(options):
        _import_keras()
        tested = range_test(plan, options.steps)
        kept = None if options.directory is None else tested.keep(pathlib.Path(options.directory))
        if out is None and kept is None and not options.json:
            out = checked_picture(f"range-test-{folder_name(options.optimizer)}-{folder_name(tested.problem)}.png")
        if out is not None:
            tested.draw(out)
    sweep = tested.sweep
    if options.json:
        files = {"file": None if out is None else str(out), "kept": None if kept is None else str(kept)}
        _print_json({**sweep.to_json(), **files})
    print(f"{tested.title}: {sweep}", file=sys.stderr)
    if not options.json:
        for path in (out, kept):
            if path is not None:
                print(path)
    return DONE if sweep.search is not None else CHECK_FAILED


def landscape(options) -> int:
    """Draws, or lists the surfaces."""
    if options.list:
        if options.json:
            _print_json({name: {"description": description} for name, description in SURFACES.items()})
            return DONE
        _print_columns(SURFACES)
        return DONE
    from tuning.landscape import check_writable, landscape
    from tuning.space.text import parse_contestant, parse_point

    check_name("surface", options.surface, SURFACES)
    fix = plans.pairs(plans.OPTIONS["fix"], options.fix)
    start = None if options.start is None else parse_point("--start", options.start)
    for text in options.optimizers:
        parse_contestant(text)
    out = options.out if options.out or options.json else f"landscape-{options.surface}.png"
    if out is not None:
        check_writable(pathlib.Path(out))

    _import_keras()
    arguments = {"fix": fix, "start": start, "steps": options.steps, "command": options.command_line}
    shown = landscape(options.optimizers, options.surface, **arguments)
    path = None if out is None else str(shown.write(out))
    if options.json:
        _print_json({**shown.to_json(), "file": path})
    else:
        print(path)
    return DONE


def doctor(options) -> int:
    """Checks this machine."""
    from tuning.doctor.report import examine
    from tuning.doctor.text import Printed

    with Printed(sys.stderr if options.json else sys.stdout) as printed:
        report = examine(printed.finding, printed.measuring)
    printed.summary(report)
    if options.json:
        _print_json(report.to_json())
    return CHECK_FAILED if report.failed else DONE


def optimizers(options) -> int:
    """Lists what can be tuned."""
    from tuning.space import catalogue

    described = catalogue.optimizers()
    families: dict[str, list[str]] = {}
    for name, entry in described.items():
        families.setdefault(entry["family"], []).append(name)
    if options.json:
        _print_json(described)
        return DONE
    indent = 2 + max(map(len, described)) + 2
    width = _width(sys.stdout)
    for number, (family, members) in enumerate(families.items()):
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


def problems(options) -> int:
    """Lists what it can be tuned on."""
    from tuning.problems import PROBLEMS

    if options.json:
        _print_json({name: {"description": entry.description, "axes": list(entry.axes)} for name, entry in PROBLEMS.items()})
        return DONE
    _print_columns({name: f"{entry.description}; --search {', '.join(entry.axes)}" for name, entry in PROBLEMS.items()})
    return DONE


def _print_json(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, allow_nan=False)
    print(text, flush=True)


def _print_columns(described: Mapping[str, str]) -> None:
    width = max(map(len, described))
    for name, description in described.items():
        print(f"{name:{width}}  {description}")


def _store_name() -> str:
    from tuning.store.database import FILE_NAME

    return FILE_NAME


def _model_name(result) -> str | None:
    """The file with the best trial's model, if there is one."""
    from tuning.store.models import model_path

    path = model_path(result.directory, result.best.number)
    return path.name if path.is_file() else None


def _width(stream) -> int | None:
    """Of the terminal that a stream is; `None` for anything else."""
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


def _import_keras() -> None:
    """Quietly, and so that no Ctrl-C gets lost, of which JAX has many chances while it is imported."""
    from tuning.runtime.quiet import import_keras_quietly

    interruption = Interruption()
    with interruption.watched():
        try:
            import_keras_quietly()
        finally:
            interruption.check()  # it may have been forgotten, or come out as another error


@contextlib.contextmanager
def _searching(options) -> Iterator[None]:
    """What holds while a command searches: how it is interrupted, and what may be written to stdout.

    SIGTERM ends a search as Ctrl-C does: resumable, and with the terminal as it was. With --json stdout is for the JSON object
    alone, whatever a user's problem or a library prints.
    """
    guard = contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext()
    interruption = Interruption()
    with guard, interruption.watched():
        try:
            yield
        except BaseException as error:
            if interruption.came or isinstance(error, KeyboardInterrupt):
                raise Interrupted(f"interrupted; {options.interrupted}: {options.command_line}") from None
            raise
