"""`foxapi worker`: takes generations from Temporal until a signal, as the one process of a container."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
from typer import Option

from foxapi_async import Event, InvalidRequestError
from foxapi_async.cli.context import CommandContext, check_directory
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import count
from foxapi_async.cli.journal_option import METAVAR, VARIABLE, journal_of
from foxapi_async.cli.limit_options import SharedLimits, chosen_limits
from foxapi_async.cli.progress import RetryMessages
from foxapi_async.cli.signals import Interrupted, run_interruptible
from foxapi_async.cli.temporal_options import Namespace, TaskQueue
from foxapi_async.cli.unattended import LogFile
from foxapi_async.events import SubmissionFailed
from foxapi_async.files.object_path import ObjectPath, destination
from foxapi_async.outcome import status_of

if TYPE_CHECKING:
    from foxapi_async import Session, Statistics
    from foxapi_async.temporal import SessionWorker


def worker(
    context: CommandContext,
    *,
    temporal: Annotated[
        str, Option(metavar="HOST:PORT", help="The Temporal service, where the work comes from.")
    ],
    journal: Annotated[
        str | None,
        Option(
            metavar=METAVAR,
            help="The journal that all workers share: postgresql://…, or a file for workers on one "
            f"machine. Default: {VARIABLE} (the place for a password).",
        ),
    ] = None,
    output: Annotated[
        str | None,
        Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where files go whose generation names no directory: a folder, or s3://…, gs://… or "
            "az://…; without it they are not saved.",
        ),
    ] = None,
    task_queue: TaskQueue = "foxapi",
    namespace: Namespace = None,
    outputs: Annotated[
        int | None,
        Option(
            "--outputs", metavar="N", min=1, help="Images in flight of this worker, 32 by default."
        ),
    ] = None,
    max_images: Annotated[
        int | None,
        Option(metavar="N", min=1, help="Bill at most this many images in this process."),
    ] = None,
    shared_limits: SharedLimits = False,
    log_file: LogFile = None,
) -> ExitCode:
    """Generate for `foxapi run --temporal` and for workflows of yours, until SIGTERM or Ctrl-C.

    The first signal drains: nothing more is taken, POSTs under way are finished and their ids recorded,
    tasks in flight are left to other workers, and the exit code is 0. The second one ends at once. What
    a killed worker has paid for is in the journal, and another worker continues it.

    While Temporal is away, the worker waits. TEMPORAL_API_KEY, TEMPORAL_TLS and the other variables of
    Temporal's tools are honoured. See docs/many-machines.md.
    """
    context.keep_log(log_file)
    console = context.console
    console.log_warnings()
    chosen = journal_of(context, journal, None)
    if chosen is None:
        raise InvalidRequestError(
            f"which journal do the workers share? Give --journal or set {VARIABLE}", field="journal"
        )
    directory = None if output is None else destination(Path(output).expanduser())
    if directory is not None and not isinstance(directory, ObjectPath):
        check_directory(directory)
    retries = RetryMessages(console)

    def on_event(event: Event) -> None:
        retries.print_event(event)
        if isinstance(event, SubmissionFailed) and status_of(event.error) == "rejected":
            console.warning(f"rejected: {event.error}")

    session = context.session(
        limits=chosen_limits(outputs, max_images, are_shared=shared_limits),
        journal=chosen.journal,
        on_event=on_event,
    )
    process = _WorkerProcess(context, session, temporal, task_queue, namespace, directory)
    try:
        run_interruptible(process.run(), on_first=process.drain)
    except Interrupted:  # the normal end
        pass
    finally:
        retries.finish()
    process.print_end()
    return ExitCode.OK


@attrs.define(eq=False)
class _WorkerProcess:
    context: CommandContext
    session: Session
    temporal: str
    task_queue: str
    namespace: str | None
    directory: Path | None
    _worker: SessionWorker | None = attrs.field(default=None, init=False)
    _statistics: Statistics | None = attrs.field(default=None, init=False)

    async def run(self) -> None:
        from foxapi_async.temporal import SessionWorker, connect  # noqa: PLC0415 - an extra
        from foxapi_async.temporal.connection import quiet_runtime, watch_service  # noqa: PLC0415

        console = self.context.console
        client = await connect(self.temporal, namespace=self.namespace, runtime=quiet_runtime())
        async with self.session as session:
            self._worker = SessionWorker(
                client, session, task_queue=self.task_queue, directory=self.directory
            )
            console.info(f"at work on the queue {self.task_queue} of Temporal at {self.temporal}")
            console.document(event="started", task_queue=self.task_queue, temporal=self.temporal)
            watching = asyncio.create_task(watch_service(client, self._print_change))
            try:
                await self._worker.run()
            finally:
                watching.cancel()
                self._statistics = session.statistics()

    def _print_change(self, error: Exception | None) -> None:
        if error is None:
            self.context.console.info(f"Temporal at {self.temporal} is back")
        else:
            self.context.console.warning(f"Temporal at {self.temporal} is away, waiting: {error}")

    def drain(self, number: int) -> bool:  # noqa: ARG002 - any signal
        """Let the worker finish what it has begun; return whether there is one."""
        if self._worker is None:
            return False
        self.context.console.info(
            "draining: POSTs under way are finished; another signal ends at once"
        )
        self._worker.stop()
        return True

    def print_end(self) -> None:
        console, end = self.context.console, self._statistics
        if end is None:
            console.info("ended before it was at work")
            return
        console.info(
            f"drained: {count(end.submitted, 'task')} submitted ({count(end.images_billed, 'image')} "
            f"billed), {end.completed:,} completed, {end.unknown:,} unknown; "
            f"{count(end.in_flight, 'task')} left to other workers"
        )
        console.document(event="stopped", statistics=end.to_dict())
