"""The options about limits that several commands have."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from foxapi_async import Limits

SharedLimits = Annotated[
    bool,
    Option(
        "--shared-limits",
        help="Let --outputs and --max-images hold for all runs and workers of a journal in PostgreSQL "
        "together; give all of them the same.",
    ),
]


def chosen_limits(outputs: int | None, max_images: int | None, *, are_shared: bool) -> Limits:
    """Return the limits of a session; a bound that was not given is the default of `Limits`."""
    return Limits(
        outputs=outputs or Limits().outputs,
        total_outputs=max_images,
        scope="journal" if are_shared else "session",
    )
