"""The package is built in layers: imports point one way, and decisions import no I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import foxapi_async

PACKAGE = Path(foxapi_async.__file__).parent

MOST_LINES = 400

PURE = {
    *("_typeguards", "_validators", "backoff", "errors", "events", "models", "options", "outcome"),
    *("phota", "requests", "retry", "statistics", "value", "version"),
    *(f"http.{name}" for name in ("codec", "ids", "responses", "retry_rules")),
    *(f"limits.{name}" for name in ("departures", "quota", "rate", "rate_scheduler", "window")),
    *(f"polling.{name}" for name in ("durations", "due_queue", "history", "inspection")),
    *("polling.advice", "polling.remembered", "polling.replanning", "polling.schedule"),
    "polling.tracked_task",
}
"""Decisions and values: they do no I/O, and clock and dice are arguments."""

IMPURE = {"aiohttp", "anyio", "asyncio", "random", "secrets", "select", "socket", "sqlite3", "ssl",
          "subprocess", "threading", "time", "urllib.request"}  # fmt: skip

MAY_IMPORT_AIOHTTP = {"session", "http.transport"}
"""``session`` for the type of ``http=``; modules of ``files`` and ``emulator`` may, too."""


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
        else:
            yield from statements(node)


def imported(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    shown = ast.walk(tree) if path == FILES[FACADE] else statements(tree)
    for node in shown:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = inner & set(FILES)
            found |= modules
            if modules != inner:
                found.add(node.module)
    return found


IMPORTS = {module: imported(path) for module, path in FILES.items()}


def ours(module: str) -> set[str]:
    return {name for name in IMPORTS[module] if name.partition(".")[0] == "foxapi_async"}


def foreign(module: str) -> set[str]:
    """Return what a module imports from elsewhere: the modules and the packages they are in."""
    names = IMPORTS[module] - ours(module)
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
    assert {name for name in users if not name.startswith(("cli", "pytest_plugin"))} == set()


def test_the_facade_is_imported_by_nothing_below_it():
    tops = {"foxapi_async", "foxapi_async.session"}
    users = {short(module) for module in FILES if ours(module) & tops}
    assert {name for name in users if not name.startswith(("cli", "pytest_plugin", "bulk"))} == {
        "foxapi_async"
    }


@pytest.mark.parametrize("module", FILES)
def test_no_file_is_too_long_to_be_read_at_once(module):
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_an_import_for_the_type_checker_only_does_not_count():
    code = "import os\nif TYPE_CHECKING:\n    import time\nelse:\n    import io\ndef f():\n    import re"
    found = {alias.name for node in statements(ast.parse(code)) for alias in node.names}
    assert found == {"os", "io", "re"}
