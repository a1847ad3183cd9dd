"""Starts a run of a job: checks the options, and finds where the files and the records go."""

from __future__ import annotations

import os
from pathlib import Path

from foxapi_async import Session
from foxapi_async._validators import check_positive, check_timeout
from foxapi_async.bulk.job import Job
from foxapi_async.bulk.job_engine import JobEngine
from foxapi_async.bulk.job_run import JobRun
from foxapi_async.bulk.run_options import GRACE, RunOptions, SidecarFormat
from foxapi_async.bulk.store.job_store import JobStore
from foxapi_async.bulk.store.records_folder import records_folder
from foxapi_async.files.object_path import ObjectPath, destination


def run_job(
    session: Session,
    job: Job,
    directory: str | os.PathLike[str],
    *,
    retry_failed: bool = False,
    retry_unknown: bool = False,
    sheet: bool = True,
    timeout: float | None = None,
    name: str | None = None,
    max_credits: float | None = None,
    table: bool = True,
    max_time: float | None = None,
    grace: float = GRACE,
    sidecar: SidecarFormat | None = None,
    embed: bool = False,
    records: str | os.PathLike[str] | None = None,
    engine: JobEngine | None = None,
) -> JobRun:
    """Return a run of a job; enter it with ``async with`` and iterate over its results.

    What the journal knows is not submitted again: completed requests whose files are intact are
    reported at once, tasks in flight are waited for, and missing or damaged files are fetched again.
    Results come as soon as they are known, and are in ``results.jsonl`` by then.

    Args:
        session: An open session with a journal; its limits apply.
        job: What to generate.
        directory: Where the pictures and ``results.jsonl`` go; it is created if it does not exist. Or the
            URL of a folder in an object store, such as ``s3://bucket/folder``: see docs/cloud.md.
        retry_failed: Submit failed requests, and pay for them, once more.
        retry_unknown: Submit requests that may have been billed once more: they may be billed twice.
        sheet: Write the contact sheet ``index.html`` before the iteration ends.
        timeout: Seconds from the submission of a request until its files are saved; None for no bound.
            Files that are late are "unsaved". ``Polling.give_up_after`` bounds the task itself.
        name: A pattern for the names of files below the directory, without an extension, such as
            "{category}/{line:05}-{key}": see docs/jobs.md. None to name files after their keys. Files
            that the journal knows keep their names.
        max_credits: Submit nothing more once the server has reserved so many credits for tasks of this
            run, above 0; None for no bound. A task whose cost is not known yet counts as much as the most
            expensive one so far of the same model, number of outputs and resolution, and the first of
            each such kind is submitted alone: only that one may exceed the bound. The run ends with
            BudgetExceededError in ``summary.stopped``. FoxAPI does not document the unit of credits.
        table: Write the table of results ``results.csv`` before the iteration ends; see `write_table`.
        max_time: Seconds after which nothing more is submitted; tasks in flight then get ``grace``
            seconds to complete, and ``summary.timed_out`` is True. None for no bound.
        grace: Seconds, see ``max_time``.
        sidecar: "json" or "txt" to write a file beside each picture, also beside those of earlier runs:
            with all that is known of it, or with its prompt. None for none.
        embed: Put prompt and request into the metadata of the pictures that this run fetches: text in a
            PNG, XMP in a JPEG or WebP. The pixels stay as they are.
        records: For a URL only: the folder on this machine for ``results.jsonl`` and the run log while
            the job runs; None for one in the user's state directory that is derived from the URL.
        engine: Carries out the requests in place of the session, with the same journal, and saves their
            files; ``name``, ``embed``, ``timeout`` and ``max_credits`` are without effect then. See
            `foxapi_async.temporal.TemporalEngine`.

    Raises:
        ConfigurationError: The session has no journal, or the URL cannot be used.
        InvalidRequestError: ``sidecar`` or ``records`` does not suit the directory, ``name`` is not a pattern, ``max_credits`` not a number above 0, or a number
            of seconds cannot be one.
    """
    if max_time is not None:
        check_timeout(max_time, "max_time")
    options = RunOptions(
        retry_failed=retry_failed,
        retry_unknown=retry_unknown,
        sheet=sheet,
        timeout=timeout,
        name=name,
        max_credits=None if max_credits is None else check_positive("max_credits", max_credits),
        table=table,
        max_time=max_time,
        grace=check_timeout(grace, "grace"),
        sidecar=sidecar,
        embed=embed,
    )
    place = destination(directory)
    folder = records_folder(place, None if records is None else Path(records))
    store = JobStore.open(place, folder, session) if isinstance(place, ObjectPath) else None
    return JobRun(session, job, folder, options, engine=engine, store=store)
