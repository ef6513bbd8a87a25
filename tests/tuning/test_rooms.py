"""The rooms of the package `tuning`: which may import which."""

import ast
import graphlib
import pathlib

import pytest

import tuning

ROOT = pathlib.Path(__file__).parents[2]

# From the ground up; a room imports rooms of lower floors only, also in functions and for types.
FLOORS = (
    {"errors"},
    {"names"},
    {"runtime", "space", "store"},
    {"problems"},
    {"oracles", "results", "training"},
    {"console", "doctor", "engines", "report", "schedulers", "trackers"},
    {"export", "landscape", "study"},
    {"experiments"},
    {"command"},
    {"cli", "__main__"},
)


def modules():
    """The dotted name of each module -> its path."""
    paths = [path for path in (ROOT / "tuning").rglob("*.py") if path.parent.name != "templates"]  # of files of one's own
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def nodes(tree, for_types):
    """All of a module's syntax tree, with what is imported for type checkers alone or without."""
    for node in ast.iter_child_nodes(tree):
        if for_types or not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from nodes(node, for_types)


def imports(for_types=True):
    """Each module -> those of the package that it imports, wherever in it."""
    known, found = modules(), {}
    for name, path in known.items():
        wanted = set()
        for node in nodes(ast.parse(path.read_text()), for_types):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} imports relatively"
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    wanted.add(full if full in known else node.module)
        found[name] = wanted & set(known)
    return found


def room(module):
    return module.split(".")[1] if "." in module else "the root"


def test_a_room_imports_rooms_of_lower_floors_only():
    floor_of = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    up = [
        f"{module} imports {wanted}"
        for module, found in imports().items()
        for wanted in found
        if room(module) != room(wanted)
        and (room(wanted) == "the root" or floor_of[room(wanted)] >= floor_of.get(room(module), 0))
    ]
    assert up == []


def test_no_import_goes_in_a_circle():
    graphlib.TopologicalSorter(imports(for_types=False)).prepare()  # raises, and names the circle


def test_the_floors_are_those_of_the_rooms_that_there_are():
    assert set().union(*FLOORS) == {room(module) for module in modules()} - {"the root"}
    assert sum(map(len, FLOORS)) == len(set().union(*FLOORS))


def test_few_files_lie_at_the_root():
    assert {path.name for path in (ROOT / "tuning").glob("*.py")} == {
        *("__init__.py", "__main__.py", "cli.py", "errors.py", "names.py")
    }


def test_no_room_has_the_name_of_something_public():
    assert {room(module) for module in modules()} & set(tuning.__all__) == set()


@pytest.mark.parametrize("name", sorted(tuning._HOMES))
def test_what_is_public_lives_where_it_is_said_to(name):
    assert getattr(tuning, name).__module__ == tuning._HOMES[name]
