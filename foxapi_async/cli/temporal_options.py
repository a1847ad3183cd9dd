"""The options of commands that work with Temporal, and the engine that they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import attrs
from typer import Option

from foxapi_async import InvalidRequestError

if TYPE_CHECKING:
    from foxapi_async.bulk import Job
    from foxapi_async.temporal import TemporalEngine

_PANEL: Final = "Many machines"

TaskQueue = Annotated[
    str,
    Option(
        "--task-queue",
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="The task queue of Temporal that workers and runs share.",
    ),
]
Namespace = Annotated[
    str | None,
    Option(
        "--namespace",
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="The namespace of Temporal. Default: TEMPORAL_NAMESPACE, else default.",
    ),
]
Temporal = Annotated[
    str | None,
    Option(
        "--temporal",
        metavar="HOST:PORT",
        rich_help_panel=_PANEL,
        help="Let the `foxapi worker` processes of this Temporal service submit and save; they need the "
        "same --journal, and DIR at the same path.",
    ),
]


@attrs.frozen
class TemporalOptions:
    """Where a run finds its workers."""

    address: str
    task_queue: str
    namespace: str | None

    async def open(self, job: Job, directory: Path) -> TemporalEngine:
        """Connect, and return the engine of a run."""
        from foxapi_async.temporal import TemporalEngine, connect  # noqa: PLC0415 - an extra
        from foxapi_async.temporal.connection import quiet_runtime  # noqa: PLC0415

        client = await connect(self.address, namespace=self.namespace, runtime=quiet_runtime())
        return TemporalEngine(client, directory, name=job.path.name, task_queue=self.task_queue)


def temporal_options(
    job: Job,
    address: str | None,
    task_queue: str,
    namespace: str | None,
    *,
    unsupported: Mapping[str, object],
) -> TemporalOptions | None:
    """Return where the workers of a run are, None if it needs none.

    Raises:
        InvalidRequestError: One of the unsupported options is given, or the job names local files.
    """
    if address is None:
        return None
    given = [name for name, value in unsupported.items() if value]
    if given:
        raise InvalidRequestError(
            f"{' and '.join(given)} cannot be used with --temporal: the workers have limits of their "
            "own (foxapi worker --outputs, --max-images) and name files after the keys",
            field=given[0],
        )
    if job.files.is_used:
        raise InvalidRequestError(
            f"{job.name} names local files, which workers on other machines do not have: upload them "
            "(foxapi upload) and put the links in their place, or run it without --temporal",
            field="temporal",
        )
    return TemporalOptions(address, task_queue, namespace)
