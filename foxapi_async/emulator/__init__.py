"""A local FoxAPI: real HTTP on loopback, generated pictures, and scripted faults.

    async with Emulator(speed=20) as emulator:
        async with Session("sk-emulator", base_url=emulator.url) as session:
            ...
    assert emulator.counters.images_billed == 4

It shares no code with the client, so that one misspelt field cannot be wrong on both sides and pass.
It counts what it bills in `Emulator.counters`. Faults are scripted with `Fault`:

    emulator.script(
        Fault("submit", Drop(carried_out=True)),            # billed, but no answer
        Fault("poll", error(503), nth=3, times=2),
        Fault("download", cut(0.5), when=lambda call: call.prompt == "a fox"),
        Fault("submit", Fate(ends_as="cancelled")),
    )

A reset "before the request was read" happens before the request takes effect. The JSON body of a
submission has been read by then, so that a script can inspect it; the body of an upload has not.

What it does not imitate: the LLM routes and their streams, callbacks, billing lists, the
vendor-compatible synchronous routes, refunds and final settlement, TLS, any real generation, and
playable video. Models other than `phota-*` are accepted with any fields. An upload by URL does not
fetch a foreign URL; it stores a placeholder picture. The prices of its list
are invented. Nothing has been compared with the live service.
"""

from foxapi_async.emulator.canvas import PillowMissingError
from foxapi_async.emulator.faults import (
    Answer,
    Call,
    Delay,
    Deliver,
    Drop,
    Effect,
    Fault,
    Hang,
    Redirect,
    Rewrite,
    Route,
    Script,
    cut,
    error,
    html,
    not_json,
    rate_limit,
    text,
    without,
)
from foxapi_async.emulator.limits import RetryAfter
from foxapi_async.emulator.pictures import size_of
from foxapi_async.emulator.server import Emulator
from foxapi_async.emulator.store import Counters, TaskView
from foxapi_async.emulator.task_lifecycle import Duration, Estimate, Fate, LogNormal, Times

__all__ = [
    "Answer",
    "Call",
    "Counters",
    "Delay",
    "Deliver",
    "Drop",
    "Duration",
    "Effect",
    "Emulator",
    "Estimate",
    "Fate",
    "Fault",
    "Hang",
    "LogNormal",
    "PillowMissingError",
    "Redirect",
    "RetryAfter",
    "Rewrite",
    "Route",
    "Script",
    "TaskView",
    "Times",
    "cut",
    "error",
    "html",
    "not_json",
    "rate_limit",
    "size_of",
    "text",
    "without",
]
