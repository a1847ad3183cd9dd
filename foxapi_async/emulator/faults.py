"""Faults: which requests fail, and how.

A `Fault` selects requests (by route, occurrence and predicate) and lists one or more effects.
Effects are plain values; `playback` applies them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

from attrs import define, field, frozen

from foxapi_async.emulator.answers import (
    HTML_TYPE,
    JSON,
    JSON_TYPE,
    TEXT_TYPE,
    error_body,
    html_page,
)
from foxapi_async.emulator.store import TaskView
from foxapi_async.emulator.task_lifecycle import Fate

Route: TypeAlias = Literal["submit", "poll", "upload", "download", "models", "credits", "pricing"]


@frozen(eq=False)
class Call:
    """One request, as a predicate sees it.

    `payload` is the JSON object of a submission (an empty mapping elsewhere); `task` is the task
    of a poll or a download, if it exists; `target` is path and query as they were sent.
    """

    route: Route
    method: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    payload: Mapping[str, JSON]
    task: TaskView | None

    @property
    def prompt(self) -> str:
        """Return the prompt of the submission or of the requested task."""
        if self.task is not None:
            return self.task.prompt
        return str(self.payload.get("prompt", ""))


@frozen
class Answer:
    """Send this instead of the true answer.

    With `carried_out=True` the request takes effect first: the task is created and billed, and the
    client gets a different answer. A `body` of text or bytes is sent as it is, anything else as JSON.
    """

    status: int = 200
    body: JSON | bytes = b""
    headers: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)
    content_type: str | None = field(default=None, kw_only=True)
    carried_out: bool = field(default=False, kw_only=True)


@frozen(kw_only=True)
class Drop:
    """Break the connection without an answer, before or after the request has taken effect.

    `reset=False` closes it in an orderly way instead of resetting it.
    """

    carried_out: bool = False
    reset: bool = True


@frozen(kw_only=True)
class Hang:
    """Never answer, before or after the request has taken effect."""

    carried_out: bool = False


@frozen
class Delay:
    """Wait for `seconds` before the request takes effect, or between its effect and the answer."""

    seconds: float
    carried_out: bool = field(default=False, kw_only=True)


@frozen
class Redirect:
    """Redirect the client to a fixed URL or to one computed from the request."""

    location: str | Callable[[Call], str]
    status: int = 302
    carried_out: bool = field(default=False, kw_only=True)


@frozen
class Rewrite:
    """Change the JSON of the true answer: update its fields, or apply a function to it.

    `status` replaces the HTTP status, such as 500 for a task that was created all the same.
    """

    change: Mapping[str, JSON] | Callable[[Mapping[str, JSON]], JSON]
    without: Sequence[str] = field(default=(), kw_only=True)
    status: int | None = field(default=None, kw_only=True)


@frozen(kw_only=True)
class Deliver:
    """Send the true answer with a transport fault.

    Args:
        cut_at: Close the connection after this many bytes (int) or this share (float) of the body.
        reset: Close with a reset instead of an orderly close.
        stall_at: Stop sending there and keep the connection open.
        bytes_per_second: Send the body no faster than this.
        framing: "length" (Content-Length), "chunked", or "close" (no length; the body ends with the connection).
        length_off_by: Added to the true Content-Length.
        headers: Headers to set.
        without: Headers to leave out, such as "Content-Type".
        ignore_range: Treat a request for a part as one for the whole.
    """

    cut_at: float | None = None
    reset: bool = False
    stall_at: float | None = None
    bytes_per_second: float | None = None
    framing: Literal["length", "chunked", "close"] = "length"
    length_off_by: int = 0
    headers: Mapping[str, str] = field(factory=dict[str, str])
    without: Sequence[str] = ()
    ignore_range: bool = False


Effect: TypeAlias = Answer | Drop | Hang | Delay | Redirect | Rewrite | Deliver | Fate


def _effects(given: Effect | Sequence[Effect]) -> tuple[Effect, ...]:
    return tuple(given) if isinstance(given, Sequence) else (given,)


@frozen
class Fault:
    """One entry of a script: which requests, which effects.

    Args:
        on: The route: "submit", "poll", "upload", "download", "models", "credits" or
            "pricing".
        do: One effect, or several that are combined, such as a `Fate` and a `Drop`.
        nth: The first matching request that is hit, counted from 1; by default the next one.
        times: How many requests are hit; None for all.
        when: Only requests for which this holds.
        chance: The probability with which a matching request is hit.
    """

    on: Route
    do: tuple[Effect, ...] = field(converter=_effects)
    nth: int | None = field(default=None, kw_only=True)
    times: int | None = field(default=1, kw_only=True)
    when: Callable[[Call], bool] | None = field(default=None, kw_only=True)
    chance: float = field(default=1.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.on not in get_args(Route):
            raise ValueError(f"no such route: {self.on!r}; there are {', '.join(get_args(Route))}")
        if self.on != "submit" and any(isinstance(effect, Fate) for effect in self.do):
            raise ValueError("a Fate is given to a task when it is submitted: on='submit'")
        if self.on == "download" and any(isinstance(effect, Rewrite) for effect in self.do):
            raise ValueError("a Rewrite changes JSON; a download is a file: use an Answer")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"chance is a probability, 0 to 1: {self.chance}")
        if (self.nth is not None and self.nth < 1) or (self.times is not None and self.times < 1):
            raise ValueError(f"nth and times count from 1: nth={self.nth}, times={self.times}")


@define(eq=False)
class _Line:
    """A fault, with the number of matching and of hit requests."""

    fault: Fault
    seen: int = 0
    hits: int = 0

    @property
    def used_up(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times


@define(eq=False)
class Script:
    """The faults to come, in order; the first that matches a request is applied."""

    _rng: random.Random = field(factory=random.Random)
    _lines: list[_Line] = field(factory=list[_Line])

    def add(self, *faults: Fault) -> None:
        """Append faults to the script."""
        self._lines.extend(_Line(fault) for fault in faults)

    def clear(self) -> None:
        """Remove all faults."""
        self._lines.clear()

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """Return the faults that are not used up, so that a test can assert that there are none."""
        return tuple(line.fault for line in self._lines if not line.used_up)

    def concerns(self, route: Route) -> bool:
        """Return whether any fault is left for this route."""
        return any(line.fault.on == route for line in self._lines)

    def pick(self, call: Call) -> tuple[Effect, ...]:
        """Return the effects on a request; none for an ordinary one.

        A fault with `nth` counts all matching requests, including those that another fault hits.
        """
        chosen: _Line | None = None
        for line in self._lines:
            fault = line.fault
            if fault.on != call.route or not (fault.when is None or fault.when(call)):
                continue
            line.seen += 1
            if chosen is None and line.seen >= (fault.nth or 1) and self._strikes(fault):
                chosen = line
        if chosen is None:
            return ()
        chosen.hits += 1
        if chosen.used_up:
            self._lines.remove(chosen)
        return chosen.fault.do

    def _strikes(self, fault: Fault) -> bool:
        return fault.chance >= 1 or self._rng.random() < fault.chance


def error(
    status: int,
    message: str = "scripted by the emulator",
    *,
    code: str | None = None,
    error_type: str | None = None,
    headers: Mapping[str, str] | None = None,
    carried_out: bool = False,
) -> Answer:
    """Return an answer with the service's error envelope."""
    body = error_body(status, message, code=code, error_type=error_type)
    return Answer(status, body, headers=headers or {}, carried_out=carried_out)


def rate_limit(retry_after: float | str | None = None, *, carried_out: bool = False) -> Answer:
    """Return a 429; `retry_after` is sent unchanged (seconds, a date, nonsense) or omitted.

    With `carried_out=True` the task exists and is billed in spite of the 429.
    """
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return error(429, "too many requests", headers=headers, carried_out=carried_out)


def html(status: int = 502, title: str = "Bad Gateway", *, carried_out: bool = False) -> Answer:
    """Return an answer with an HTML page, as a captive portal or a CDN sends it."""
    return Answer(status, html_page(title), content_type=HTML_TYPE, carried_out=carried_out)


def text(status: int, words: str, *, carried_out: bool = False) -> Answer:
    """Return an answer with plain text."""
    return Answer(status, words, content_type=TEXT_TYPE, carried_out=carried_out)


def not_json(words: str = '{"id": "task-', *, carried_out: bool = True) -> Answer:
    """Return a 200 whose body is declared as JSON but is not."""
    return Answer(200, words, content_type=JSON_TYPE, carried_out=carried_out)


def without(*names: str) -> Rewrite:
    """Remove these fields, such as the id, from the true answer."""
    return Rewrite({}, without=names)


def cut(at: float = 0.5, *, reset: bool = False) -> Deliver:
    """Close the connection within the true answer, which is shorter than its `Content-Length`."""
    return Deliver(cut_at=at, reset=reset)
