"""The package is built in layers: imports point one way, decisions import no I/O, and it stays small.

The bounds of size and depth are those that the redesign has reached. Raise one only for a reason.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import foxapi_async

PACKAGE = Path(foxapi_async.__file__).parent

MOST_LINES = 415
"""Of one file."""
MOST_MODULES = 270
MOST_LINES_IN_ALL = 44_000
LONGEST_CHAIN = 16
MOST_PARAMETERS, MOST_CALLABLES = 8, 2
"""Of a constructor. Sizes do not count the emulator."""

PURE = {
    *(
        "_from_json",
        "_pydantic",
        "_to_json",
        "_typeguards",
        "_validators",
        "errors",
        "models",
        "options",
        "outcome",
    ),
    *("phota", "refusal_streak", "requests", "retry", "statistics", "version"),
    *(
        f"http.{name}"
        for name in ("account", "candidates", "codec", "compression", "ids", "redaction")
    ),
    *(f"http.{name}" for name in ("responses", "retry_rules")),
    *(f"limits.{name}" for name in ("circuit_breaker", "cubic", "in_flight", "rate_scheduler")),
    *(f"polling.{name}" for name in ("durations", "history", "inspection")),
    *("polling.schedule", "polling.tracked_task"),
}
"""Decisions and values: they do no I/O, and clock and dice are arguments."""

IMPURE = {"aiohttp", "anyio", "asyncio", "random", "secrets", "select", "socket", "sqlite3", "ssl",
          "subprocess", "threading", "time", "urllib.request"}  # fmt: skip

MAY_IMPORT_AIOHTTP = {
    *("session", "http.connection", "http.failures", "http.transport", "cli.webhook"),
}
"""``session`` for the type of ``http=``, ``cli.webhook`` for another host than the API; modules of ``files`` and ``emulator`` may, too."""


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


FACADE = "foxapi_async"
"""It loads its names when they are asked for; what it shows to type checkers is what it loads."""


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that happen at run time, also those inside of functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(ast.Module(node.orelse, []))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.expr):
            yield from statements(node)


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@cache
def imported(module: str) -> set[str]:
    """Return the full names of the modules that a module imports."""
    found = set()
    tree = parsed(module)
    shown = ast.walk(tree) if module == FACADE else statements(tree)
    for node in shown:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = inner & set(FILES)
            found |= modules
            if modules != inner:
                found.add(node.module)
    return found


def ours(module: str) -> set[str]:
    return {name for name in imported(module) if name.partition(".")[0] == "foxapi_async"}


def foreign(module: str) -> set[str]:
    """Return what a module imports from elsewhere: the modules and the packages they are in."""
    names = imported(module) - ours(module)
    return names | {name.partition(".")[0] for name in names}


def short(module: str) -> str:
    return module.removeprefix("foxapi_async.")


def test_imports_point_one_way():
    TopologicalSorter({module: ours(module) for module in FILES}).prepare()


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_decision_imports_neither_io_nor_clock_nor_dice(module):
    assert foreign(f"foxapi_async.{module}") & IMPURE == set()


@pytest.mark.parametrize("module", sorted(PURE))
def test_what_a_decision_imports_of_ours_is_as_pure(module):
    assert {short(name) for name in ours(f"foxapi_async.{module}")} - PURE == set()


def test_only_the_transport_speaks_http():
    speakers = {short(module) for module in FILES if "aiohttp" in foreign(module)}
    outside = {name for name in speakers if name.partition(".")[0] not in {"files", "emulator"}}
    assert outside <= MAY_IMPORT_AIOHTTP
    assert "http.transport" in speakers


@pytest.mark.parametrize(
    "module", [name for name in FILES if ".cli." not in name and ".emulator" in name]
)
def test_the_emulator_shares_no_code_with_the_client(module):
    assert {name for name in ours(module) if not name.startswith("foxapi_async.emulator")} == set()


def test_nothing_but_what_starts_it_imports_the_emulator():
    users = {
        short(module)
        for module in FILES
        if ".emulator" not in module and any(".emulator" in name for name in ours(module))
    }
    assert {
        name for name in users if not name.startswith(("cli", "pytest_plugin", "testing"))
    } == set()


def test_the_facade_is_imported_by_nothing_below_it():
    tops = {"foxapi_async", "foxapi_async.session"}
    users = {short(module) for module in FILES if ours(module) & tops}
    above = ("cli", "pytest_plugin", "bulk", "sync", "temporal")
    assert {name for name in users if not name.startswith(above)} == {"foxapi_async"}


@pytest.mark.parametrize("module", FILES)
def test_no_file_is_too_long_to_be_read_at_once(module):
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_an_import_for_the_type_checker_only_does_not_count():
    code = "import os\nif TYPE_CHECKING:\n    import time\nelse:\n    import io\ndef f():\n    import re"
    found = {alias.name for node in statements(ast.parse(code)) for alias in node.names}
    assert found == {"os", "io", "re"}


# Size and depth

OWN = [name for name in FILES if not name.startswith("foxapi_async.emulator")]


def at_import(module: str) -> set[str]:
    """Return our modules that a module imports while it is imported itself."""
    tree = parsed(module)
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(FILES)
            found |= inner or {node.module} & set(FILES)
    return found - {module}


@cache
def chain(module: str) -> tuple[str, ...]:
    """Return the longest chain of imports that begins with a module."""
    below = [chain(name) for name in at_import(module) if name in OWN]
    return (module, *max(below, key=len, default=()))


def test_the_longest_chain_of_imports_is_short():
    longest = max((chain(module) for module in OWN), key=len)
    assert len(longest) <= LONGEST_CHAIN, " -> ".join(longest)


def test_the_package_is_small():
    lines = sum(len(FILES[name].read_text(encoding="utf-8").splitlines()) for name in OWN)
    assert len(OWN) <= MOST_MODULES
    assert lines <= MOST_LINES_IN_ALL


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for module in OWN:
        for node in ast.walk(parsed(module)):
            if isinstance(node, ast.ClassDef):
                yield module, node


def test_no_class_name_is_used_twice():
    # `sync` has the names of the async classes, as promised.
    names = Counter(node.name for module, node in classes() if ".sync" not in module)
    assert {name: count for name, count in names.items() if count > 1} == {}


PUBLIC_CONSTRUCTORS = {"Session"}
"""Their parameters are those of the contract."""


def constructors() -> Iterator[tuple[str, ast.arguments]]:
    for module, node in classes():
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                yield f"{module}.{node.name}", each.args


def test_constructors_take_few_collaborators_and_hardly_any_callbacks():
    crowded = {}
    for name, arguments in constructors():
        parameters = [*arguments.args[1:], *arguments.kwonlyargs]
        callables = [each for each in parameters if "Callable" in ast.unparse(each)]
        if len(parameters) > MOST_PARAMETERS or len(callables) > MOST_CALLABLES:
            crowded[name] = [each.arg for each in parameters]
    allowed = PUBLIC_CONSTRUCTORS | set(vars(foxapi_async.errors)) | {"FoxAPIError"}
    assert {n: p for n, p in crowded.items() if n.rpartition(".")[2] not in allowed} == {}


def for_type_checkers(module: str) -> set[str]:
    """Return our modules that a module imports under TYPE_CHECKING only."""
    tree = parsed(module)
    return {
        node.module
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in branch.body
        if isinstance(node, ast.ImportFrom) and node.module in FILES
    }


def test_imports_for_type_checkers_point_the_same_way():
    graph = {name: ours(name) | for_type_checkers(name) for name in FILES if name != FACADE}
    TopologicalSorter({name: found - {FACADE} for name, found in graph.items()}).prepare()
