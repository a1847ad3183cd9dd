"""The command line. `main` is the entry point `foxapi`; the extra [cli] installs typer and rich."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from foxapi_async.cli.exit_codes import ExitCode

__all__ = ["main"]

_PACKAGES_OF_THE_EXTRA = frozenset({"typer", "rich"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; `foxapi --help` lists the codes."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        from foxapi_async.cli.app import run  # noqa: PLC0415 - the extra may be missing

        return run(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES_OF_THE_EXTRA:
            raise
        if sys.stderr is not None:
            sys.stderr.write(
                f"foxapi: the command line needs {error.name}, which is not installed: "
                "pip install 'foxapi-async[cli]'\n"
            )
        return ExitCode.CONFIGURATION
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
