"""The command line. `main` is the entry point `foxapi`; typer and rich are in the extra [cli]."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from foxapi_async.cli.exits import Exit

__all__ = ["main"]

_EXTRA = frozenset({"typer", "rich"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; `foxapi --help` lists the codes.

    Args:
        argv: The arguments after the program's name; those of the process by default.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        from foxapi_async.cli.app import run  # noqa: PLC0415 - the extra may be missing

        return run(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        _say(
            f"foxapi: the command line needs {error.name}, which is not installed: "
            "pip install 'foxapi-async[cli]'"
        )
        return Exit.KEY
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
