"""`foxapi run`: a job from a file, from the estimate to the contact sheet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from foxapi_async import JobFileError, Polling
from foxapi_async.cli.account import print_cost
from foxapi_async.cli.agreement import ask_for_agreement
from foxapi_async.cli.context import CommandContext, Timeout, check_directory, prepare_directory
from foxapi_async.cli.cost_report import cost_json
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import count
from foxapi_async.cli.input_options import (
    Defaults,
    Fields,
    Folder,
    Format,
    InputOptions,
    Jobs,
    Template,
    keep_job,
    read_job,
)
from foxapi_async.cli.job_report import (
    Estimate,
    estimate_json,
    estimate_lines,
    profile_warnings,
    selection_note,
)
from foxapi_async.cli.journal_option import (
    JournalOption,
    check_shared_journal,
    journal_of_job,
    name_without_password,
)
from foxapi_async.cli.limit_options import SharedLimits, chosen_limits
from foxapi_async.cli.places import check_store, place_of
from foxapi_async.cli.profile_record import created_profiles
from foxapi_async.cli.saving_options import Embed, Name, SavingOptions, Sidecar, Table
from foxapi_async.cli.selection_options import Keys, Lines, selection_of
from foxapi_async.cli.temporal_options import (
    Namespace,
    TaskQueue,
    Temporal,
    temporal_options,
)
from foxapi_async.cli.unattended import Grace, LogFile, MaxTime, OnEnd, Webhook
from foxapi_async.files.object_path import ObjectPath

if TYPE_CHECKING:
    from foxapi_async.bulk import Plan

_MAX_CONFLICTS_SHOWN = 100

_NOT_REPEATED = {"dry_run", "yes", "retry_failed", "retry_unknown", "as_json", "webhook"}
"""Options that the command to go on leaves out: a person agrees to the cost, and to what is billed again,
each time; the URL of a webhook may be secret, and the command is printed."""


def run(
    context: CommandContext,
    *,
    jobs: Jobs,
    output: Annotated[
        Path,
        Option(
            "--output",
            "-o",
            metavar="DIR",
            parser=place_of,
            help="For images, results.jsonl and index.html: a directory, or s3://bucket/folder.",
        ),
    ],
    journal: JournalOption = None,
    records: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="If -o is a URL: the directory for the journal and results.jsonl on this machine; by "
            "default one below ~/.local/state/foxapi.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Only check the file and print what it would cost.")
    ] = False,
    yes: Annotated[
        bool, Option("--yes", "-y", help="Agree to the cost in advance, for scripts.")
    ] = False,
    max_images: Annotated[
        int | None, Option(metavar="N", min=1, help="Bill at most this many images in this run.")
    ] = None,
    max_credits: Annotated[
        float | None,
        Option(
            metavar="N",
            min=0.001,
            help="Submit nothing more once the server has reserved this many credits in this run; the "
            "first request of each kind is sent alone, to learn what it costs.",
        ),
    ] = None,
    outputs: Annotated[
        int | None,
        Option(
            "--outputs",
            "--limit-outputs",
            metavar="N",
            min=1,
            help="Images in flight, 32 by default; no line may ask for more.",
        ),
    ] = None,
    shared_limits: SharedLimits = False,
    retry_failed: Annotated[
        bool,
        Option(
            "--retry-failed",
            help="Submit the failed requests of earlier runs again; they are billed again.",
        ),
    ] = False,
    retry_unknown: Annotated[
        bool,
        Option(
            "--retry-unknown",
            help="Submit requests again that may have been billed without an answer; they may be "
            "billed twice.",
        ),
    ] = False,
    lines: Lines = None,
    keys: Keys = None,
    sheet: Annotated[
        bool, Option("--sheet/--no-sheet", help="Whether to write the contact sheet index.html.")
    ] = True,
    format: Format = None,  # noqa: A002 - the name of the option
    fields: Fields = None,
    defaults: Defaults = None,
    template: Template = None,
    folder: Folder = None,
    name: Name = None,
    table: Table = True,
    sidecar: Sidecar = None,
    embed: Embed = False,
    timeout: Timeout = None,
    max_time: MaxTime = None,
    grace: Grace = None,
    on_end: OnEnd = None,
    webhook: Webhook = None,
    log_file: LogFile = None,
    temporal: Temporal = None,
    task_queue: TaskQueue = "foxapi",
    namespace: Namespace = None,
) -> ExitCode:
    """Generate all images of a file; run it again to continue. Each image is billed once.

    The whole file is checked, and the cost is printed, before anything is sent. Ctrl-C stops
    submitting and waits for the tasks in flight; a second Ctrl-C exits at once. Nothing billed is
    lost.

    Fields of a line: prompt; num_outputs (1), resolution (1K or 4K), aspect_ratio (1:1, 2:3, 3:2, 3:4,
    4:3, 9:16 or 16:9); image_urls, profile_ids (of phota-image-edit); image_url, creativity,
    resemblance (of phota-image-enhance); image_archive_url (of phota-create-profile); model
    (phota-image); key (by default from the content; custom_id or id also serve as one); and for any
    other model params, kind, path. Other fields are columns of your own, which are not sent.
    See docs/jobs.md.
    """
    # Loads aiohttp, which `foxapi --help` does not need.
    from foxapi_async.bulk import RESULTS_NAME, RunLog  # noqa: PLC0415
    from foxapi_async.bulk.results.file_names import checking_names  # noqa: PLC0415
    from foxapi_async.cli.job_runner import JobRunner  # noqa: PLC0415

    console = context.console
    context.keep_log(log_file)
    context.tell_end(command=on_end, webhook=webhook, dry_run=dry_run)
    directory = _records(context, output, records, sidecar)
    limits = chosen_limits(outputs, max_images, are_shared=shared_limits)
    reading = InputOptions(
        format=format, fields=fields, defaults=defaults, template=template, folder=folder
    )
    job = read_job(context, jobs, reading, limits.outputs)
    if (selection := selection_of(lines, keys)) is not None:
        job = job.select(selection)
    engine = temporal_options(
        job,
        temporal,
        task_queue,
        namespace,
        unsupported={
            "--name": name,
            "--embed": embed,
            "--outputs": outputs,
            "--max-images": max_images,
            "--shared-limits": shared_limits,
            "--max-credits": max_credits,
            "--timeout": timeout,
        },
    )
    known = {each.profile_id for each in created_profiles(os.environ)}
    check_directory(directory)
    chosen = journal_of_job(context, journal, directory)
    check_shared_journal(chosen, has_workers=engine is not None, are_limits_shared=shared_limits)
    name_without_password(context, chosen)
    is_new = False
    if chosen.file is not None:
        check_directory(chosen.file.parent)
        # The run creates the directory, but no other one for the journal.
        is_new = not directory.exists() and chosen.file.parent == directory.absolute()
    found = None if is_new else chosen.journal
    with checking_names(job, name, directory) as on_line:
        plan = job.plan(
            found, output, records=_if_in_store(output, directory), profiles=known, on_line=on_line
        )
    _refuse_conflicts(job.name, plan)
    saving = SavingOptions(name=name, table=table, sidecar=sidecar, embed=embed)
    estimate = Estimate(
        plan=plan,
        retry_failed=retry_failed,
        retry_unknown=retry_unknown,
        max_images=max_images,
        max_credits=max_credits,
        is_selection=selection is not None,
        images_per_minute=RunLog(directory).last_rate(),
    )
    for line in estimate_lines(estimate):
        console.info(line)
    if (note := selection_note(estimate)) is not None:
        console.warning(note)
    for line in profile_warnings(plan):
        console.warning(line)
    if dry_run:
        has_key = context.check_access()
        rates = print_cost(context, estimate, directory / RESULTS_NAME) if has_key else None
        if rates is None and estimate.requests:
            console.info("price and balance are not known: there is no API key to ask with")
        cost = None if rates is None else cost_json(estimate.models, rates)
        plan_json = estimate_json(estimate)
        console.document(dry_run=True, plan=plan_json, cost=cost, exit_code=ExitCode.OK)
        return ExitCode.OK
    context.key()  # a missing key is reported before the question
    prepare_directory(directory)
    rates = print_cost(context, estimate, directory / RESULTS_NAME)
    if estimate.requests and not yes:
        requests, images = count(estimate.requests, "request"), count(estimate.images, "image")
        ask_for_agreement(
            context, f"submitting {requests} ({images})", f"Submit {requests} and pay for {images}?"
        )
    job = keep_job(context, job, jobs, directory)
    runner = JobRunner(
        context=context,
        job=job,
        estimate=estimate,
        place=output.expanduser(),
        directory=directory,
        journal=chosen,
        command=context.again(without=_NOT_REPEATED),
        remembered=context.again(without={*_NOT_REPEATED, "lines", "keys"}),
        grace=grace,
        max_time=max_time,
        sheet=sheet,
        saving=saving,
        rates=rates,
        engine=engine,
    )
    return runner.run(limits, Polling(give_up_after=timeout))


def _records(
    context: CommandContext, place: Path, records: Path | None, sidecar: str | None
) -> Path:
    """Return the directory of the records; say where it is if that is not the place of the files."""
    from foxapi_async.bulk.results.sidecars import check_sidecar  # noqa: PLC0415 - loads aiohttp
    from foxapi_async.bulk.store.records_folder import records_folder  # noqa: PLC0415

    directory = records_folder(place, records).expanduser()
    if isinstance(place, ObjectPath):
        check_store(place)
        check_sidecar(sidecar, in_store=True)
        context.console.info(f"the records of the job are in {directory}")
    return directory


def _if_in_store(place: Path, records: Path) -> Path | None:
    return records if isinstance(place, ObjectPath) else None


def _refuse_conflicts(name: str, plan: Plan) -> None:
    if not plan.conflicts:
        return
    shown = [f"  {conflict}" for conflict in plan.conflicts[:_MAX_CONFLICTS_SHOWN]]
    if hidden := len(plan.conflicts) + plan.more_conflicts - len(shown):
        shown.append(f"  … and {hidden:,} more")
    raise JobFileError("\n".join([f"{name}: nothing was sent", *shown]))
