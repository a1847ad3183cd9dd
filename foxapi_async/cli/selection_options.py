"""Options that narrow a job to some of its lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from foxapi_async import ConfigurationError

if TYPE_CHECKING:
    from foxapi_async.bulk import Selection

Lines = Annotated[
    str | None,
    Option(
        "--lines",
        metavar="N-M,…",
        help="Run only these lines, such as 100-200,305; with --retry-failed and --retry-unknown, "
        "retry only these.",
    ),
]
Keys = Annotated[
    str | None,
    Option(
        "--keys",
        metavar="A,B,…",
        help="Run only the lines with these keys; @FILE reads them from a file, one per line. With "
        "--lines, both are run.",
    ),
]


def selection_of(lines: str | None, keys: str | None) -> Selection | None:
    """Return what the options select, None if they are not given."""
    from foxapi_async.bulk import Selection  # noqa: PLC0415 - loads aiohttp

    if keys is None or not keys.startswith("@"):
        return None if lines is None and keys is None else Selection.parse(lines, keys)
    path = Path(keys[1:]).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"--keys: cannot read {path}: {reason}") from error
    named = [key for key in text.splitlines() if key.strip()]
    if not named:
        raise ConfigurationError(f"--keys: {path} has no keys; it needs one per line")
    ranges = () if lines is None else Selection.parse(lines).lines
    return Selection(ranges, named)
