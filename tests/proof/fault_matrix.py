"""The fault matrix as data: every fault of section 17 of the API reference, and what must come of it.

Each row is a fault. Its columns are the requests that it can hit; a column says how the call must end
if the fault hits one request ("once"), every second one ("sometimes") or all of them ("always").
`test_fault_matrix` runs every cell on the emulator, and `python -m tests.proof` writes the
table in docs/faults.md from the same rows.

The words for an end are those of `Outcome.status`, and a few more for waits, files and uploads; see
`MEANING`. Several words with "|" between them are equally right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from foxapi_async.emulator import (
    Answer,
    Call,
    Deliver,
    Drop,
    Effect,
    Fault,
    Hang,
    Redirect,
    Rewrite,
    Route,
    cut,
    error,
    html,
    not_json,
    rate_limit,
    text,
    without,
)

Column: TypeAlias = Literal["submit", "poll", "download", "upload"]
Frequency: TypeAlias = Literal["once", "sometimes", "always"]

COLUMNS: Final = get_args(Column)
FREQUENCIES: Final = get_args(Frequency)

MEANING: Final[Mapping[str, str]] = {
    "completed": "the task is completed, and its outputs are known",
    "failed": "`TaskFailedError`: the server says so; a new submission is billed again",
    "cancelled": "`TaskCancelledError`: the server says so",
    "rejected": "an `APIStatusError`: the server refused the request, and nothing was billed",
    "not sent": "an `APIConnectionError`: nothing was sent, and nothing was billed",
    "unknown": "`SubmissionUnknownError`: it may have been billed; the POST is never repeated",
    "timeout": "`TaskTimeoutError` at the deadline, with the task id; the last failure is its cause",
    "no outputs": "`InvalidResponseError` with the task id, after a bounded time",
    "gone": "`NotFoundError` with the task id: the server does not know the task",
    "unauthorized": "`AuthenticationError` with the task id, which can be attached with another key",
    "saved": "the whole file is on disk",
    "not saved": "`DownloadError` with the task id, and no part of a file under its name",
    "expired": "`OutputExpiredError`: the link is refused, and so is a fresh one",
    "uploaded": "the file is at the server",
    "refused": "an `APIStatusError`, at once or after the last attempt",
    "broken": "an `APIConnectionError` after the last attempt",
    "unusable": "an `InvalidResponseError` after the last attempt",
}


@frozen
class Down:
    """The server does not listen: for a moment, or for good if the fault is there always."""


@frozen
class Ends:
    """How calls end that a fault hits once, every second time, and always."""

    once: str
    sometimes: str
    always: str

    def of(self, frequency: Frequency) -> frozenset[str]:
        """Return the words for the ends that are right."""
        return frozenset(str(getattr(self, frequency)).split("|"))


def _ends(given: str | Ends | None) -> Ends | None:
    return Ends(given, given, given) if isinstance(given, str) else given


def unless_always(usual: str, always: str) -> Ends:
    """Return the ends of a call that is repeated until it succeeds."""
    return Ends(usual, usual, always)


@frozen
class Row:
    """One fault: what it is, what the emulator does, and how each kind of call ends.

    ``section`` is the letter in section 17 of the API reference, "+" for a fault that it does not
    list. ``when`` narrows down which requests are hit, ``also`` names routes that it hits as well. A
    column that is None does not occur.
    """

    section: str
    fault: str
    effect: Effect | Down
    submit: Ends | None = field(default=None, converter=_ends, kw_only=True)
    poll: Ends | None = field(default=None, converter=_ends, kw_only=True)
    download: Ends | None = field(default=None, converter=_ends, kw_only=True)
    upload: Ends | None = field(default=None, converter=_ends, kw_only=True)
    when: Callable[[Call], bool] | None = field(default=None, kw_only=True)
    also: tuple[Route, ...] = field(default=(), kw_only=True)

    def faults(self, column: Column, frequency: Frequency) -> list[Fault]:
        """Return the script for one cell."""
        if isinstance(self.effect, Down):
            return []
        return [self._fault(route, frequency) for route in (column, *self.also)]

    def _fault(self, route: Route, frequency: Frequency) -> Fault:
        assert not isinstance(self.effect, Down)
        times, when = (1 if frequency == "once" else None), self.when
        if frequency == "sometimes":
            when = _every_second(when or (lambda _: True))
        return Fault(route, self.effect, times=times, when=when)


def _every_second(when: Callable[[Call], bool]) -> Callable[[Call], bool]:
    turns = itertools.cycle((True, False))
    return lambda call: when(call) and next(turns)


POLLED: Final = unless_always("completed", "timeout")
SAVED: Final = unless_always("saved", "not saved")
LINK: Final = unless_always("saved", "expired")
REPEATED: Final = unless_always("completed", "rejected|not sent")
UPLOADED: Final = unless_always("uploaded", "refused")


def _ended(call: Call) -> bool:
    return call.task is not None and call.task.status == "completed"


def _itself(call: Call) -> str:
    return call.target


def _older_shape(task: Mapping[str, Any]) -> Any:
    if not task.get("results"):
        return task
    urls = [result["url"] for result in task["results"]]
    return {**_without(task, "results"), "output": {"url": urls[0], "urls": urls}}


def _without(task: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name not in names}


def _wrapped(task: Mapping[str, Any]) -> Any:
    return {"code": 200, "message": "m" * 300, "data": task}


def _renamed(task: Mapping[str, Any]) -> Any:
    return {"task_id": task["id"], "created": task.get("created"), "model": task.get("model")}


def _in_an_error(task: Mapping[str, Any]) -> Any:
    return {**task, "error": {"message": "try again", "type": "server_error"}}


MATRIX: Final = (
    # How a task proceeds, lines a to g
    Row("a", "pending, then processing, for several polls", Rewrite({"status": "processing"}), poll=POLLED),
    Row("b", "completed with `results: null`", Rewrite({"results": None}), when=_ended, poll=unless_always("completed", "no outputs")),
    Row("b", "completed with `results: []`", Rewrite({"results": []}), when=_ended, poll=unless_always("completed", "no outputs")),
    Row("c", "the older `output` shape", Rewrite(_older_shape), poll="completed"),
    Row("d", "failed, with an error", Rewrite({"status": "failed", "results": None, "error": {"code": "generation_failed", "message": "no", "type": "task_error"}}), submit="failed", poll="failed"),
    Row("d", "failed, without an error", Rewrite({"status": "failed", "results": None, "error": None}), submit="failed", poll="failed"),
    Row("e", "a status word that nobody knows, without results", Rewrite({"status": "archiving", "results": None}), submit="completed", poll=POLLED),
    Row("e", "a status word in capital letters", Rewrite({"status": "COMPLETED "}), when=_ended, poll="completed"),
    Row("e", "a relay's word for completed (`SUCCESS`), with results", Rewrite({"status": "SUCCESS"}), when=_ended, poll="completed"),
    Row("e", "a relay's word for failed (`FAILURE`), with an error", Rewrite({"status": "FAILURE", "results": None, "error": {"code": "generation_failed", "message": "no"}}), poll="failed"),
    Row("f", "cancelled at the server", Rewrite({"status": "cancelled", "results": None}), submit="cancelled", poll="cancelled"),
    Row("g", "an answer without `task_info`, `created`, `progress` and `usage`", Rewrite({}, without=["task_info", "created", "progress", "usage"]), submit="completed", poll="completed"),
    Row("+", "fields of the wrong type", Rewrite({"progress": "half", "created": [], "task_info": 7, "usage": "none"}), submit="completed", poll="completed"),
    Row("+", "an upload with fields of the wrong type", Rewrite({"id": 7, "size": "big", "created": [], "filename": None}), upload="uploaded"),
    # Answers that are not the API's, line h
    Row("h", "200 with an HTML page; no task", html(200, "Welcome"), submit="unknown", poll=POLLED, download=SAVED, upload=unless_always("uploaded", "unusable")),
    Row("h", "200 with an HTML page; the task exists", html(200, "Welcome", carried_out=True), submit="unknown"),
    Row("h", "200 with JSON but no id", without("id"), submit="unknown", poll=POLLED),
    Row("h", "200 with an upload but no url", without("url"), upload=unless_always("uploaded", "unusable")),
    Row("h", "200 with truncated JSON, without a whole id", not_json(), submit="unknown", poll=POLLED, upload=unless_always("uploaded", "unusable")),
    Row("h", "200 with truncated JSON that names the id", Deliver(cut_at=0.7, framing="close"), submit="completed", poll=POLLED),
    Row("+", "200 with the task inside `data`", Rewrite(_wrapped), submit="completed", poll=POLLED),
    Row("+", "200 with `task_id` instead of `id`", Rewrite(_renamed), submit="completed"),
    Row("+", "200 with an id that is not usable", Rewrite({"id": "../../etc"}), submit="unknown", poll=POLLED),
    Row("+", "200 with the id of a task that does not exist", Answer(200, {"data": {"id": "task-of-somebody-else"}}, carried_out=True), submit="unknown"),
    Row("+", "a header of 20,000 bytes", Deliver(headers={"X-Long": "x" * 20_000}), submit="completed", poll="completed", upload="uploaded", download="saved"),
    # Refusals, lines i and j
    Row("i", "413 with an HTML page", html(413, "Request Entity Too Large"), submit="rejected", poll=POLLED, download="not saved", upload="refused"),
    Row("i", "403 with the text `error code: 1010`", text(403, "error code: 1010"), submit="rejected", poll=POLLED, download=LINK, upload="refused"),
    Row("i", "403 with an HTML page of a firewall", html(403, "Blocked"), submit="rejected", poll=POLLED, download=LINK, upload="refused"),
    Row("j", "400", error(400), submit="rejected", poll=POLLED, download="not saved", upload="refused"),
    Row("j", "401, and the key no longer works", error(401), also=("models", "credits"), submit=Ends("rejected|completed", "rejected|completed", "rejected"), poll=Ends("completed|unauthorized", "completed|unauthorized", "unauthorized"), download="not saved", upload=Ends("refused|uploaded", "refused|uploaded", "refused")),
    Row("j", "401, although the key works", error(401), poll=unless_always("completed", "timeout|unauthorized")),
    Row("j", "402", error(402), submit="rejected", poll=POLLED, download="not saved", upload="refused"),
    Row("j", "403 with the envelope", error(403), submit="rejected", poll=POLLED, download=LINK, upload="refused"),
    Row("j", "422 (a bad field, an extra field)", error(422), submit="rejected", poll=POLLED, download="not saved", upload="refused"),
    *(
        Row("j", f"422 `{code}`", error(422, code=code), submit="rejected")
        for code in ("unsupported_advanced_options", "model_not_found", "invalid_image_url", "invalid_file_type", "model_not_supported", "model_rule_violation", "invalid_param")
    ),
    *(
        Row("j", f"{status} `{code}`", error(status, code=code), submit=unless_always("completed", "rejected|not sent"))
        for status, code in ((422, "no_compatible_channel"), (422, "no_available_model"), (503, "no_compatible_channel"))
    ),
    # Rate limits, line k
    Row("k", "429 with `Retry-After` in seconds", rate_limit(2), submit=REPEATED, poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("k", "429 with `Retry-After: 0`", rate_limit(0), submit=REPEATED, poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("k", "429 with `Retry-After` as a date", rate_limit("Sun, 06 Nov 1994 08:49:37 GMT"), submit=REPEATED, poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("k", "429 with an absurd `Retry-After`", rate_limit("1e309"), submit=REPEATED, poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("k", "429 without `Retry-After`", rate_limit(), submit=REPEATED, poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("k", "429 with an empty body", Answer(429), submit=REPEATED, poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("k", "429 with an HTML page", html(429, "Too Many Requests"), submit=REPEATED, poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("k", "429 `insufficient_quota`", error(429, code="insufficient_quota"), submit="rejected", poll=POLLED),
    Row("k", "429 with the id of the new task", Rewrite(_in_an_error, status=429), submit="completed"),
    # Server errors, line l
    Row("l", "500; no task", error(500), submit="unknown", poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("l", "500; the request took effect", error(500, carried_out=True), submit="unknown", upload=UPLOADED),
    Row("l", "500 with the id of the new task", Rewrite(_in_an_error, status=500), submit="completed"),
    Row("l", "502 with an HTML page; no task", html(502), submit="unknown", poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("l", "502 with an HTML page; the task exists", html(502, carried_out=True), submit="unknown"),
    Row("l", "503 with the envelope; no task", error(503), submit="unknown", poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("l", "503 with an HTML page", html(503, "Service Unavailable"), submit="unknown", poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("l", "504 with an HTML page; the task exists", html(504, carried_out=True), submit="unknown"),
    Row("+", "520 to 526 of a CDN", html(522, "Timed out"), submit="unknown", poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("+", "408", error(408), submit="unknown", poll=POLLED, download=SAVED, upload=UPLOADED),
    Row("+", "409", error(409), submit="unknown", poll=POLLED, download="not saved", upload=UPLOADED),
    # Connections, line m
    Row("m", "no connection: the server is down", Down(), submit=unless_always("completed", "not sent"), poll=POLLED, download=SAVED, upload=unless_always("uploaded", "not sent")),
    Row("m", "reset before the request took effect", Drop(), submit="unknown", poll=POLLED, download=SAVED, upload=unless_always("uploaded", "broken")),
    Row("m", "reset after the request took effect", Drop(carried_out=True), submit="unknown", poll=POLLED, download=SAVED, upload=unless_always("uploaded", "broken")),
    Row("m", "closed in an orderly way, without an answer", Drop(carried_out=True, reset=False), submit="unknown", poll=POLLED, download=SAVED, upload=unless_always("uploaded", "broken")),
    Row("m", "no answer, ever; no task", Hang(), submit="unknown", poll=POLLED, download=SAVED, upload=unless_always("uploaded", "broken")),
    Row("m", "no answer, ever; the request took effect", Hang(carried_out=True), submit="unknown", poll=POLLED, download=SAVED, upload=unless_always("uploaded", "broken")),
    Row("m", "an answer that is cut short after its headers", cut(0), submit="unknown", poll=POLLED, download=SAVED, upload=unless_always("uploaded", "broken")),
    Row("m", "an answer that stops after its headers", Deliver(stall_at=0), submit="unknown", poll=POLLED, download=SAVED, upload=unless_always("uploaded", "broken")),
    Row("+", "redirected to another address (302)", Redirect("https://login.example/"), submit="unknown", poll=POLLED, upload=unless_always("uploaded", "refused")),
    Row("+", "redirected, keeping the method (307)", Redirect(_itself, 307, carried_out=True), submit="unknown", poll=POLLED, upload=UPLOADED),
    # Polls, lines n and o
    Row("n", "the answer names another task", Rewrite({"id": "task-unified-1-other"}), poll=POLLED),
    Row("o", "404 with the envelope", error(404), submit="rejected", poll=unless_always("completed", "gone"), download=LINK, upload="refused"),
    Row("o", "404 with an HTML page", html(404, "Not Found"), submit="rejected", poll=POLLED, download=LINK, upload="refused"),
    # Files, line p
    Row("p", "a redirect (to itself)", Redirect(_itself), download=SAVED),
    Row("p", "a redirect to a host without HTTPS", Redirect("http://files.example/a.png"), download="not saved"),
    Row("p", "403 from the file's host: the link has expired", html(403, "Forbidden"), download=LINK),
    Row("p", "410 from the file's host", text(410, "gone"), download=LINK),
    Row("p", "slow, but steady (24 kB/s)", Deliver(bytes_per_second=24_000), download="saved"),
    Row("p", "one byte a second", Deliver(bytes_per_second=1), download=SAVED),
    Row("p", "no further byte after the first half", Deliver(stall_at=0.5), download=unless_always("saved", "saved|not saved")),
    Row("p", "cut short, with a length", cut(0.5), download=unless_always("saved", "saved|not saved")),
    Row("p", "cut short by a reset", cut(0.5, reset=True), download=unless_always("saved", "saved|not saved")),
    Row("p", "cut short, without a length", Deliver(cut_at=0.5, framing="close"), download=unless_always("saved", "saved|not saved")),
    Row("p", "cut short in a chunked body", Deliver(cut_at=0.5, framing="chunked"), download=unless_always("saved", "saved|not saved")),
    Row("p", "a length that is too large", Deliver(length_off_by=10), download=Ends("saved", "saved|not saved", "not saved")),
    Row("p", "a length that is too small", Deliver(length_off_by=-10), download=SAVED),
    Row("p", "no content type", Deliver(without=["Content-Type"]), download="saved"),
    Row("p", "the whole file where a part was asked for", Deliver(cut_at=0.9, ignore_range=True), download=unless_always("saved", "saved|not saved")),
    Row("p", "an HTML page in place of the file", html(200, "Welcome"), download=SAVED),
    Row("p", "an empty file", Answer(200, b"", content_type="image/png"), download=SAVED),
    # Uploads, line q
    Row("q", "403: the storage is full", error(403, "the storage is full"), upload="refused"),
    Row("q", "413 `file_too_large_error`", error(413), upload="refused"),
    Row("q", "422: the uploaded file has expired", error(422, code="invalid_image_url"), submit="rejected"),
    # Results, line r
    Row("r", "fewer results than images that were paid for", Rewrite(lambda task: {**task, "results": task["results"][:1]}), when=_ended, poll="completed"),
    Row("r", "a result that is not a file", Rewrite({"results": [{"result_type": "profile", "profile_id": "pf_7Q2"}]}), when=_ended, poll="completed"),
)  # fmt: skip

ELSEWHERE: Final[Mapping[str, str]] = {
    "s": "the SDK has no LLM streams",
    "t": "every cell compares what the emulator billed",
}
"""The lines of section 17 that are not faults of a request."""
