"""`foxapi unknown`: the requests that may have been billed, and the two ways on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from typer import Argument

from foxapi_async import InvalidRequestError, PhotaCreateProfile
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import count
from foxapi_async.cli.invocation import RUN_COMMAND, remembered
from foxapi_async.cli.journal_option import JournalOption, journal_of
from foxapi_async.cli.places import records_of
from foxapi_async.http.codec import excerpt, one_line

if TYPE_CHECKING:
    from foxapi_async.journal.entry import Entry

_LONGEST: Final = 200  # Characters of a prompt; --json has all


def unknown(
    context: CommandContext,
    *,
    directory: Annotated[
        Path | None,
        Argument(
            metavar="DIR",
            parser=records_of,
            help="The directory of the job, or its URL; its journal is read.",
        ),
    ] = None,
    journal: JournalOption = None,
) -> ExitCode:
    """List the requests that may have been billed and whose task id did not arrive.

    Nothing is sent and nothing is billed. Each is listed with what the server said and with two
    commands: one for a task that the service shows, one to submit the request again. Exit code 0 if
    there are none, 6 if there are some, 3 if the journal cannot be read.
    """
    from foxapi_async.bulk import RESULTS_NAME  # noqa: PLC0415 - loads aiohttp
    from foxapi_async.bulk.results.doubtful import doubtful_lines  # noqa: PLC0415

    chosen = journal_of(context, journal, None if directory is None else directory.expanduser())
    if chosen is None:
        raise InvalidRequestError(
            "which journal? Give the directory of the job, or --journal", field="journal"
        )
    chosen.check_exists()
    found = chosen.journal
    results = None if directory is None else directory.expanduser() / RESULTS_NAME
    last_run = remembered(found.remembered([RUN_COMMAND]).get(RUN_COMMAND))
    is_named = directory is None or journal is not None
    commands = _WaysOn(directory, chosen.shown if is_named else None, last_run)
    listed: list[dict[str, object]] = []
    images = 0
    for entry, line in doubtful_lines(found, results):
        described = _described(entry, line, commands)
        for text in _lines(entry, described):
            context.console.result(text)
        listed.append(described)
        images += entry.num_outputs
    code = ExitCode.UNKNOWN if listed else ExitCode.OK
    if not listed:
        context.console.info(f"no request of {chosen.shown} is unknown")
    else:
        context.console.info(
            f"{count(len(listed), 'request')}, {count(images, 'image')}: perhaps billed. Look up at the "
            "service what it has billed at these times, then settle each request with one of its commands"
        )
    context.console.document(unknown=listed, images=images, journal=chosen.shown, exit_code=code)
    return code


class _WaysOn:
    """The two commands that settle a request."""

    def __init__(self, directory: Path | None, journal: str | None, last_run: str | None) -> None:
        target = [] if directory is None else ["-o", str(directory)]
        self._target = target + ([] if journal is None else ["--journal", journal])
        self._last_run = last_run

    def resolve(self, key: str) -> str:
        words = ["resolve", key, "TASK_ID", *self._target]
        if key.startswith("-"):
            words = ["resolve", *self._target, "--", key, "TASK_ID"]
        return shlex.join(["foxapi", *words])

    def submit(self, entry: Entry) -> str:
        from foxapi_async.bulk.input.selection import keys_text  # noqa: PLC0415 - loads aiohttp

        is_of_job = self._last_run is not None or "-o" in self._target
        if entry.model == PhotaCreateProfile.model and not is_of_job:
            # By `foxapi profile create`, in a journal that no job has used.
            return shlex.join(["foxapi", "profile", "create", "DIR", "--again", *self._target])
        run = self._last_run or shlex.join(["foxapi", "run", "JOBS", *self._target])
        return f"{run} --retry-unknown {shlex.join([f'--keys={keys_text([entry.key])}'])}"


def _described(entry: Entry, line: int | None, commands: _WaysOn) -> dict[str, object]:
    return {
        "key": entry.key,
        "line": line,
        "prompt": entry.payload.get("prompt"),
        "model": entry.model,
        "num_outputs": entry.num_outputs,
        "sent": entry.updated.isoformat(),
        "error_code": entry.error_code,
        "error": entry.error,
        "response": entry.response,
        "if_billed": commands.resolve(entry.key),
        "if_not_billed": commands.submit(entry),
    }


def _lines(entry: Entry, described: Mapping[str, object]) -> list[str]:
    where = "" if described["line"] is None else f", line {described['line']}"
    prompt = described["prompt"]
    facts = {
        "prompt": one_line(prompt, longest=_LONGEST) if isinstance(prompt, str) else None,
        "model": entry.model,
        "sent": f"{entry.updated:%Y-%m-%d %H:%M:%S} UTC",
        "at stake": count(entry.num_outputs, "image"),
        "error": entry.error and one_line(entry.error, longest=2 * _LONGEST),
        "answer": entry.response and excerpt(entry.response.encode("utf-8", "replace")),
        "if billed": described["if_billed"],
        "if not": described["if_not_billed"],
    }
    return [
        f"{entry.key}{where}",
        *(f"  {name:<10}{fact}" for name, fact in facts.items() if fact is not None),
    ]
