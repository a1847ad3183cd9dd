"""The options of a run that nobody watches: when it ends, whom it tells, and where its log goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from typer import Option

from foxapi_async.cli.durations import positive_seconds_of, seconds_of

_PANEL: Final = "Through the night"

MaxTime = Annotated[
    float | None,
    Option(
        "--max-time",
        metavar="TIME",
        parser=positive_seconds_of,
        rich_help_panel=_PANEL,
        help="Submit nothing more after this time (90, 90s, 30m, 6h, 1h30m), bring home what is in "
        "flight within --grace, and exit with 10 if something is left.",
    ),
]
Grace = Annotated[
    float | None,
    Option(
        "--grace",
        metavar="TIME",
        parser=seconds_of,
        rich_help_panel=_PANEL,
        help="How long Ctrl-C, SIGTERM and --max-time wait for the tasks in flight. Default: 120 s, "
        "after SIGTERM 6 s, because docker kills after 10.",
    ),
]
OnEnd = Annotated[
    str | None,
    Option(
        "--on-end",
        metavar="COMMAND",
        rich_help_panel=_PANEL,
        help="Run this command of the shell at the end, also after errors and interrupts, for at most "
        "60 s. It gets the summary as JSON on stdin and the exit code in FOXAPI_EXIT_CODE; its own "
        "changes nothing.",
    ),
]
Webhook = Annotated[
    str | None,
    Option(
        "--webhook",
        metavar="URL",
        envvar="FOXAPI_WEBHOOK",
        show_envvar=False,
        rich_help_panel=_PANEL,
        help="POST the same JSON to this https URL at the end. Default: FOXAPI_WEBHOOK, which other "
        "users cannot read.",
    ),
]
LogFile = Annotated[
    Path | None,
    Option(
        "--log-file",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="Append all messages and the log to this file, with date and time.",
    ),
]
