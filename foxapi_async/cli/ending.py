"""How every command ends: with its exit code, and words for what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import typer

from foxapi_async.cli import interrupt
from foxapi_async.cli.exits import Exit, exit_for
from foxapi_async.cli.screen import Screen
from foxapi_async.errors import FoxAPIError

__all__ = ["end"]


def end(screen: Screen, do: Callable[[], Exit]) -> NoReturn:
    """Do what a command is there for, and end with its exit code."""
    try:
        code = do()
    except interrupt.Interrupted as signal:
        code = signal.code
    except FoxAPIError as error:
        code = screen.fail_with(error, exit_for(error))
    raise typer.Exit(int(screen.finish(code)))
