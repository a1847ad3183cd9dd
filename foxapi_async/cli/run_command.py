"""The options of `foxapi run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foxapi_async.bulk import GRACE
from foxapi_async.cli.command import Setup
from foxapi_async.cli.ending import end
from foxapi_async.cli.options import AsJson, BaseUrl, KeyFile, Quiet, Timeout, Verbose
from foxapi_async.cli.run_job import Order, run_order
from foxapi_async.cli.screen import Screen

__all__ = ["run_jobs"]


def run_jobs(
    *,
    jobs: Annotated[
        Path,
        typer.Argument(
            metavar="JOBS", help="One JSON object a line (.jsonl), or a table with a header (.csv)."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Pictures, results.jsonl and index.html go here."
        ),
    ],
    journal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The journal; DIR/journal.sqlite by default."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the file and say what it would cost.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Agree to the cost in advance, for scripts.")
    ] = False,
    max_images: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Bill no more images than these in this run."),
    ] = None,
    outputs: Annotated[
        int | None,
        typer.Option(
            "--outputs",
            "--limit-outputs",
            metavar="N",
            min=1,
            help="Images in flight, 32 by default; no line may ask for more.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Submit, and pay, the failed ones of earlier runs again."
        ),
    ] = False,
    retry_unknown: Annotated[
        bool,
        typer.Option(
            "--retry-unknown",
            help="Submit again what may have been billed without an answer: perhaps paid twice.",
        ),
    ] = False,
    grace: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="How long Ctrl-C waits for what is in flight."),
    ] = GRACE,
    sheet: Annotated[
        bool,
        typer.Option("--sheet/--no-sheet", help="Whether to make the contact sheet index.html."),
    ] = True,
    timeout: Timeout = None,
    key_file: KeyFile = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Generate all images of a file; run it again to go on where it stopped. Each image is billed once.

    The whole file is checked, and the cost is said, before anything is sent. Ctrl-C once stops
    submitting and brings home what is in flight, twice leaves at once; nothing paid is lost.
    """
    setup = Setup(Screen(as_json=as_json, quiet=quiet, verbose=verbose), key_file, base_url)
    order = Order(
        jobs=jobs,
        directory=output.expanduser(),
        journal=journal,
        dry_run=dry_run,
        yes=yes,
        most=max_images,
        outputs=outputs,
        retry_failed=retry_failed,
        retry_unknown=retry_unknown,
        grace=grace,
        timeout=timeout,
        sheet=sheet,
    )
    end(setup.screen, lambda: run_order(setup, order))
