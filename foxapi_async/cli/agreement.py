"""The question before money is spent."""

from __future__ import annotations

import sys

from foxapi_async import InvalidRequestError
from foxapi_async.cli.context import CommandContext


def ask_for_agreement(context: CommandContext, what: str, question: str) -> None:
    """Ask on the terminal whether to pay.

    Raises:
        InvalidRequestError: There is no agreement, or no terminal to ask on.
    """
    if sys.stdin is None or not (sys.stdin.isatty() and context.console.is_terminal):
        raise InvalidRequestError(
            f"{what} needs agreement, and there is no terminal to ask on; --yes agrees in advance. "
            "Nothing was sent",
            field="yes",
        )
    context.console.warning(f"{question} [y/N]")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InvalidRequestError("the cost was not agreed to; nothing was sent", field="yes")
