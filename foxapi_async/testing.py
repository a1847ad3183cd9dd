"""What tests of an application need: the emulator, its faults, and the pytest fixture.

def test_a_lost_answer_is_not_paid_for_twice(foxapi_emulator: Emulator) -> None:
    foxapi_emulator.script(Fault("submit", Drop(carried_out=True)))
    draw()  # uses Session() without arguments
    assert foxapi_emulator.counters.images_billed == 1

pytest finds the fixture ``foxapi_emulator`` by itself once the package is installed; ``foxapi_emulator_options``
is overridden to change the options of the `Emulator`. Both are described in `foxapi_async.pytest_plugin`, the
emulator in `foxapi_async.emulator`. It needs the extra ``foxapi-async[emulator]``; without pytest, use
``async with Emulator() as emulator``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from foxapi_async.emulator import (
    Answer,
    Call,
    Counters,
    Delay,
    Deliver,
    Drop,
    Emulator,
    Fate,
    Fault,
    Hang,
    LogNormal,
    PillowMissingError,
    Redirect,
    Rewrite,
    TaskView,
    Times,
    cut,
    error,
    html,
    not_json,
    rate_limit,
    text,
    without,
)

if TYPE_CHECKING:
    from foxapi_async.pytest_plugin import foxapi_emulator, foxapi_emulator_options

__all__ = [
    "Answer",
    "Call",
    "Counters",
    "Delay",
    "Deliver",
    "Drop",
    "Emulator",
    "Fate",
    "Fault",
    "Hang",
    "LogNormal",
    "PillowMissingError",
    "Redirect",
    "Rewrite",
    "TaskView",
    "Times",
    "cut",
    "error",
    "foxapi_emulator",
    "foxapi_emulator_options",
    "html",
    "not_json",
    "rate_limit",
    "text",
    "without",
]


def __getattr__(name: str) -> object:
    # pytest is needed for the fixtures alone.
    if name in {"foxapi_emulator", "foxapi_emulator_options"}:
        return getattr(import_module("foxapi_async.pytest_plugin"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
