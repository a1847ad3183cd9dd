"""The public surface: names, signatures, and the cost of an import."""

from __future__ import annotations

import ast
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from types import ModuleType

import attrs
import pytest

import foxapi_async
from foxapi_async import (
    GenerationRequest,
    Journal,
    Limits,
    Outcome,
    Output,
    PhotaCreateProfile,
    PhotaImage,
    PhotaImageEdit,
    PhotaImageEnhance,
    Polling,
    Request,
    Retry,
    Session,
    Task,
    TaskError,
    TaskHandle,
    TaskInfo,
    TaskStatus,
    Timeout,
    UploadedFile,
)
from foxapi_async.handle import TaskUpdates

REQUIRED = attrs.NOTHING
ANY = object()
"""A default that the contract leaves open."""

CONTRACT = {
    "requests": "PhotaImage PhotaImageEdit PhotaImageEnhance PhotaCreateProfile GenerationRequest",
    "models": "Balance Credits Task TaskStatus TaskInfo TaskError Output UploadedFile Outcome TaskHandle",
    "session": "Session Limits Polling Retry Timeout Event Journal",
    "errors": """FoxAPIError InvalidRequestError ConfigurationError SessionClosedError
        BudgetExceededError APIStatusError BadRequestError AuthenticationError
        InsufficientQuotaError PermissionDeniedError NotFoundError PayloadTooLargeError
        UnprocessableEntityError RateLimitError ServerError APIConnectionError APITimeoutError
        InvalidResponseError SubmissionUnknownError TaskOutcomeError TaskFailedError
        TaskCancelledError TaskTimeoutError DownloadError OutputExpiredError""",
}


def test_the_list_of_names_is_sorted_and_has_no_name_twice():
    assert foxapi_async.__all__ == sorted(set(foxapi_async.__all__))


def test_the_list_of_names_is_what_the_package_exports():
    shown = {
        name
        for name in dir(foxapi_async)
        if not name.startswith("_") and not isinstance(getattr(foxapi_async, name), ModuleType)
    }
    assert shown == set(foxapi_async.__all__)


def promised_to_type_checkers() -> dict[str, str]:
    """Return the module that each name of the package comes from, as type checkers read it."""
    source = Path(foxapi_async.__file__).read_text(encoding="utf-8")
    branches = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    return {
        alias.name: str(node.module)
        for branch in branches
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_read_the_names_that_are_loaded():
    promised = promised_to_type_checkers()
    assert set(promised) == set(foxapi_async.__all__)
    for name, module in promised.items():
        assert getattr(foxapi_async, name) is getattr(import_module(module), name)


def test_a_star_import_imports_every_name():
    names: dict[str, object] = {}
    exec("from foxapi_async import *", names)
    assert names.keys() - {"__builtins__"} == set(foxapi_async.__all__)


def test_the_modules_of_the_names_are_attributes_of_the_package():
    code = (
        "import foxapi_async as f; print(f.errors.FoxAPIError is f.FoxAPIError, f.options.Limits)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True <class 'foxapi_async.options.Limits'>\n"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'foxapi_async' has no attribute 'PhotaImag'"):
        foxapi_async.PhotaImag  # noqa: B018
    assert not hasattr(foxapi_async, "_HOMES_")


@pytest.mark.parametrize("name", foxapi_async.__all__)
def test_every_name_pickles_as_itself(name):
    value = getattr(foxapi_async, name)
    assert pickle.loads(pickle.dumps(value)) is value


def test_every_name_of_the_contract_is_exported():
    promised = {name for names in CONTRACT.values() for name in names.split()}
    assert promised - set(foxapi_async.__all__) == set()


@pytest.mark.parametrize("name", foxapi_async.__all__)
def test_every_name_is_documented(name):
    doc = vars(getattr(foxapi_async, name)).get("__doc__")
    assert doc
    assert re.match(r"[A-Z1-9].*\.(\n|$)", doc, re.DOTALL)


# Signatures: name, kind and default of every parameter that the contract names.

Parameters = dict[str, tuple[object, object]]
BY_POSITION, BY_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY

SESSION: Parameters = {
    "api_key": (BY_POSITION, None),
    "base_url": (BY_NAME, None),
    "limits": (BY_NAME, Limits()),
    "polling": (BY_NAME, Polling()),
    "retry": (BY_NAME, Retry()),
    "timeout": (BY_NAME, Timeout()),
    "journal": (BY_NAME, None),
    "headers": (BY_NAME, None),
    "http": (BY_NAME, None),
    "on_event": (BY_NAME, None),
}
CALLS: dict[str, Parameters] = {
    "submit": {"request": (BY_POSITION, REQUIRED), "key": (BY_NAME, None)},
    "generate": {
        "request": (BY_POSITION, REQUIRED),
        "key": (BY_NAME, None),
        "timeout": (BY_NAME, None),
    },
    "attach": {"task_id": (BY_POSITION, REQUIRED), "estimated_time": (BY_NAME, None)},
    "retrieve": {"task_id": (BY_POSITION, REQUIRED)},
    "map": {"requests": (BY_POSITION, REQUIRED), "ordered": (BY_NAME, False)},
    "fan_out": {"request": (BY_POSITION, REQUIRED), "outputs_per_task": (BY_NAME, 1)},
    "download": {
        "task_or_output": (BY_POSITION, REQUIRED),
        "directory": (BY_POSITION, REQUIRED),
        "name": (BY_NAME, None),
    },
    "read": {"output": (BY_POSITION, REQUIRED)},
    "upload": {"path_or_bytes": (BY_POSITION, REQUIRED), "filename": (BY_NAME, None)},
    "balance": {},
    "prices": {},
    "statistics": {},
}
AWAITED = {"submit", "generate", "retrieve", "download", "read", "upload", "balance", "prices"}


def parameters(call: object) -> Parameters:
    found = inspect.signature(call).parameters.values()  # type: ignore[arg-type]
    return {
        each.name: (each.kind, REQUIRED if each.default is each.empty else each.default)
        for each in found
        if each.name != "self"
    }


def assert_takes(call: object, promised: Parameters) -> None:
    """Check that a call takes what is promised, and beyond that only what may be left out."""
    found = parameters(call)
    assert {name: found.get(name) for name in promised} == promised
    assert [name for name in found if name in promised] == list(promised)
    for name, (kind, default) in found.items():
        if name not in promised:
            assert kind is BY_NAME, name
            assert default is not REQUIRED, name


def test_the_constructor_of_a_session_follows_the_contract():
    assert_takes(Session, SESSION)


@pytest.mark.parametrize("name", CALLS)
def test_a_method_of_the_session_follows_the_contract(name):
    call = getattr(Session, name)
    assert_takes(call, CALLS[name])
    assert inspect.iscoroutinefunction(call) is (name in AWAITED)


def test_in_flight_is_a_property():
    assert isinstance(inspect.getattr_static(Session, "in_flight"), property)


def test_a_handle_follows_the_contract():
    assert_takes(TaskHandle.wait, {"timeout": (BY_POSITION, None)})
    assert_takes(TaskHandle.updates, {})
    assert inspect.iscoroutinefunction(TaskHandle.wait)
    assert issubclass(TaskUpdates, AsyncIterator)
    assert inspect.iscoroutinefunction(TaskUpdates.aclose)
    for name in ("id", "request", "latest"):
        assert isinstance(inspect.getattr_static(TaskHandle, name), property)
    assert hasattr(TaskHandle, "__await__")


def test_a_journal_follows_the_contract():
    assert_takes(Journal, {"path": (BY_POSITION, REQUIRED)})
    assert_takes(Journal.unfinished, {})
    assert_takes(Journal.forget, {"key": (BY_POSITION, REQUIRED)})


def default_of(field: attrs.Attribute) -> object:
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return ANY if default.takes_self else default.factory()
    return default


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (
            Limits,
            {
                "outputs": 32,
                "total_outputs": None,
                "submissions_per_second": None,
                "polls_per_second": None,
                "downloads": 8,
            },
        ),
        (
            Polling,
            {
                "poll_cost": 0.25,
                "min_interval": ANY,
                "max_interval": ANY,
                "give_up_after": ANY,
                "sync_upstream": False,
            },
        ),
        (Retry, {"submissions": True}),
        (Timeout, {"connect": ANY, "request": ANY, "stall": ANY}),
        (
            PhotaImage,
            {"prompt": REQUIRED, "num_outputs": 1, "resolution": "1K", "aspect_ratio": "1:1"},
        ),
        (
            PhotaImageEdit,
            {
                "prompt": REQUIRED,
                "image_urls": REQUIRED,
                "num_outputs": 1,
                "resolution": "1K",
                "profile_ids": None,
            },
        ),
        (
            PhotaImageEnhance,
            {
                "image_url": REQUIRED,
                "resolution": "4K",
                "creativity": None,
                "resemblance": None,
                "profile_ids": None,
            },
        ),
        (PhotaCreateProfile, {"image_archive_url": REQUIRED}),
        (GenerationRequest, {"model": REQUIRED, "params": {}, "kind": "image", "path": ANY}),
        (
            Task,
            {
                "id": REQUIRED,
                "model": ANY,
                "status": ANY,
                "progress": None,
                "created": None,
                "type": ANY,
                "object": ANY,
                "task_info": TaskInfo(None, None),
                "outputs": (),
                "error": None,
                "usage": {},
                "raw": {},
            },
        ),
        (TaskInfo, {"can_cancel": ANY, "estimated_time": None}),
        (TaskError, {"code": ANY, "message": ANY, "type": ANY}),
        (Output, {"index": REQUIRED, "url": None, "data": {}}),
        (UploadedFile, {"url": REQUIRED}),
        (
            Outcome,
            {
                "request": REQUIRED,
                "key": ANY,
                "index": REQUIRED,
                "task": None,
                "error": None,
                "status": REQUIRED,
            },
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_value_is_frozen_and_has_the_fields_and_defaults_of_the_contract(cls, fields):
    found = {field.name: default_of(field) for field in attrs.fields(cls)}
    for name, default in fields.items():
        assert name in found
        assert default is ANY or found[name] == default, name
    assert cls.__setattr__ is not object.__setattr__


@pytest.mark.parametrize(
    "cls", [PhotaImage, PhotaImageEdit, PhotaImageEnhance, PhotaCreateProfile, GenerationRequest]
)
def test_every_request_follows_the_contract(cls):
    assert issubclass(cls, Request)
    assert_takes(cls.payload, {})
    assert_takes(cls.split, {"outputs_per_task": (BY_POSITION, 1)})
    assert {"model", "num_outputs", "kind", "path"} <= set(dir(cls))


def test_the_statuses_of_a_task_are_those_of_the_contract():
    assert [status.name for status in TaskStatus] == [
        *("PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED", "OTHER")
    ]


# What an import costs

ROOT = Path(foxapi_async.__file__).parents[1]

IMPORT = """
import json, sys, threading
quiet = ("open", "import", "compile", "exec", "marshal", "object", "sys", "os.listdir", "os.scandir",
         "code", "builtins", "ctypes", "array", "glob", "re", "gc", "cpython", "time", "os.chmod")
events = []
def note(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        events.append([event, str(args[0])])
    if not event.startswith(quiet):
        events.append([event, repr(args)[:200]])
sys.addaudithook(note)
exec(sys.argv[1])
print(json.dumps({
    "modules": sorted(sys.modules), "events": events, "threads": threading.active_count()
}))
"""


USUAL = "from foxapi_async import PhotaImage, Session"
EVERYTHING = "from foxapi_async import *"


def unmeasured() -> dict[str, str]:
    """Return the environment without the measuring of coverage, which loads SQLite itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@cache
def imported(statement: str) -> dict[str, list[str]]:
    """Return what a statement does in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT, statement],
        env={**unmeasured(), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    result: dict[str, list[str]] = json.loads(done.stdout)
    return result


def needed_by(*distributions: str) -> set[str]:
    """Return these distributions and all that they need, also for what is optional."""
    found: set[str] = set()
    waiting = list(distributions)
    while waiting:
        name = re.split(r"[^A-Za-z0-9._-]", waiting.pop())[0].lower().replace("_", "-")
        if name not in found:
            found.add(name)
            try:
                waiting += requires(name) or []
            except ModuleNotFoundError:  # optional, and not installed
                continue
    return found


IMPORTED_WHERE_INSTALLED = {"sniffio", "aiodns", "pycares", "cffi", "brotli", "brotlicffi"}
"""What anyio and aiohttp import if another package has brought it."""


@pytest.mark.parametrize("statement", [USUAL, EVERYTHING])
def test_an_import_needs_only_the_four_dependencies_and_their_dependencies(statement):
    ours = needed_by("aiohttp", "attrs", "cattrs", "anyio") | IMPORTED_WHERE_INSTALLED
    owners = packages_distributions()
    tops = {module.partition(".")[0] for module in imported(statement)["modules"]}
    foreign = {
        top
        for top in tops - set(sys.stdlib_module_names) - {"foxapi_async"}
        if top in owners and not {owner.lower().replace("_", "-") for owner in owners[top]} & ours
    }
    assert {name for name in foreign if not name.startswith(("_", "__"))} == set()


EXTRA = {
    *("typer", "click", "rich", "PIL", "pytest", "hypothesis", "aiohttp.pytest_plugin", "trio"),
    *("foxapi_async.bulk", "foxapi_async.cli", "foxapi_async.emulator"),
}
"""What not everybody needs, whatever is imported of the package."""


@pytest.mark.parametrize(
    ("statement", "needed", "left_out"),
    [
        ("import foxapi_async", set(), {"foxapi_async.errors", "aiohttp", "attr", "asyncio"}),
        (
            "from foxapi_async import FoxAPIError, RateLimitError",
            {"foxapi_async.errors"},
            {"aiohttp", "attr", "anyio", "asyncio"},
        ),
        (
            "from foxapi_async import PhotaImage, Task, Limits",
            {"foxapi_async.phota"},
            {"aiohttp", "anyio", "asyncio"},
        ),
        (
            USUAL,
            {"foxapi_async.phota", "foxapi_async.session", "aiohttp", "foxapi_async.files.upload"},
            {"foxapi_async.journal", "sqlite3", "_sqlite3"},
        ),
        (EVERYTHING, {"foxapi_async.journal", "sqlite3"}, set()),
    ],
)
def test_an_import_loads_only_what_it_needs(statement, needed, left_out):
    modules = set(imported(statement)["modules"])
    assert needed - modules == set()
    assert modules & (left_out | EXTRA) == set()


def test_a_session_loads_the_journal_if_it_has_one():
    code = "from foxapi_async import Session; import sys; Session('k'); print('sqlite3' in sys.modules);"
    code += "Session('k', journal='there.db'); print('sqlite3' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


OPEN_SESSION = """
import asyncio, pathlib, sys, tempfile
from foxapi_async import PhotaImage, Session
from foxapi_async.emulator import Emulator
async def main():
    folder = tempfile.TemporaryDirectory()
    async with Emulator(duration=0.1) as emulator:
        journal = pathlib.Path(folder.name, "journal")
        async with Session("sk-emulator", base_url=emulator.url, journal=journal) as session:
            before = set(sys.modules)
            file = await session.upload(b"GIF89a")
            task = await session.generate(PhotaImage("a fox"))
            await session.download(task, folder.name)
            await session.read(task.outputs[0])
            task.to_dict()
            loaded = set(sys.modules) - before
    folder.cleanup()
    print(sorted(name for name in loaded if name.startswith("foxapi_async")))
asyncio.run(main())
"""


def test_an_open_session_has_loaded_what_a_task_needs_later():
    done = subprocess.run(
        [sys.executable, "-c", OPEN_SESSION],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("statement", ["import foxapi_async", USUAL, EVERYTHING])
def test_an_import_starts_nothing_and_opens_nothing(statement):
    assert imported(statement)["events"] == []
    assert imported(statement)["threads"] == 1


def test_the_package_is_marked_as_typed():
    assert (ROOT / "foxapi_async" / "py.typed").is_file()
