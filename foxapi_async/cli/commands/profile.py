"""`foxapi profile`: make a PHOTA profile from a folder of photos, and list those that were made."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import attrs
from typer import Argument, Option

from foxapi_async import (
    FoxAPIError,
    InvalidResponseError,
    PhotaCreateProfile,
    SubmissionUnknownError,
    Task,
    TaskFailedError,
)
from foxapi_async.cli.agreement import ask_for_agreement
from foxapi_async.cli.context import CommandContext, Timeout
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import count, file_size
from foxapi_async.cli.journal_option import METAVAR, VARIABLE, ChosenJournal, chosen_journal
from foxapi_async.cli.profile_record import (
    JOURNAL_NAME,
    CreatedProfile,
    created_profiles,
    now,
    prepare_state,
    record_profile,
    state_directory,
)
from foxapi_async.cli.progress import show_progress
from foxapi_async.cli.signals import Interrupted, run_interruptible
from foxapi_async.cli.task_state import TaskStates
from foxapi_async.environment import DEFAULT_BASE_URL, find_base_url

if TYPE_CHECKING:
    from foxapi_async import Session
    from foxapi_async.bulk.input.photo_archive import Photos

_MOST_PROFILES: Final = 1000  # Of the same photos
_NOT_PAID: Final = frozenset({None, "planned", "rejected"})
_MAY_REPEAT: Final = frozenset({"completed", "saved", "failed", "unknown"})
"""Statuses after which ``--again`` makes another profile; about an unknown one a person has then decided."""


def create(
    context: CommandContext,
    *,
    folder: Annotated[
        Path, Argument(metavar="DIR", help="A folder of photos of one person: JPEG, PNG or WebP.")
    ],
    yes: Annotated[
        bool, Option("--yes", "-y", help="Agree to the cost in advance, for scripts.")
    ] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Only check the photos.")] = False,
    again: Annotated[
        bool,
        Option("--again", help="Make another profile of the same photos; it is billed again."),
    ] = False,
    journal: Annotated[
        str | None,
        Option(
            metavar=METAVAR,
            help="The journal that keeps each profile from being paid for twice: a file, or "
            f"postgresql://USER@HOST/DATABASE. Default: {VARIABLE}, "
            "~/.local/state/foxapi/profiles.sqlite.",
        ),
    ] = None,
    timeout: Timeout = None,
) -> ExitCode:
    """Make a profile from a folder of photos and print its id. It is billed once.

    The photos are checked, put into a ZIP file without their names, and uploaded. The same photos are
    the same profile: running it again continues after an interruption, and prints the id again when it
    is done, without a new bill. Use the id in a prompt, in double brackets, or in profile_ids.
    """
    # Loads aiohttp, which `foxapi --help` does not need.
    from foxapi_async.bulk.input.photo_archive import Photos  # noqa: PLC0415

    console = context.console
    photos = Photos.find(folder.expanduser())
    same = f", {photos.duplicates:,} of them twice" if photos.duplicates else ""
    console.info(f"{count(len(photos.files), 'photo')}, {file_size(photos.size)}{same}")
    url = find_base_url(context.base_url)
    place = "" if str(url).rstrip("/") == DEFAULT_BASE_URL else f"{url.host}-{url.port}-"
    chosen = _journal_for(place + photos.key, journal)
    address = chosen.journal.address
    created = {each.key: each for each in created_profiles(os.environ) if each.journal == address}
    key, status = _current(chosen, place + photos.key, created, again=again)
    if dry_run:
        console.document(
            dry_run=True,
            photos=len(photos.files),
            bytes=photos.size,
            status=status,
            exit_code=ExitCode.OK,
        )
        return ExitCode.OK
    if (known := created.get(key)) is not None:
        console.info(f"created {known.created} from the same photos; nothing is billed")
        return _print(context, known)
    context.key()  # a missing key is reported before the question
    state = prepare_state(os.environ)
    if status in _NOT_PAID and not yes:
        photos_text = count(len(photos.files), "photo")
        ask_for_agreement(
            context, "creating a profile", f"Create a profile from {photos_text} and pay for it?"
        )
    task = _Creation(context, photos, key, chosen, timeout).run()
    profile = CreatedProfile(
        profile_id=profile_id_of(task),
        key=key,
        task_id=task.id,
        photos=len(photos.files),
        folder=str(folder.expanduser().absolute()),
        journal=address,
        created=now(),
    )
    record_profile(state, profile)
    return _print(context, profile)


def list_profiles(context: CommandContext) -> ExitCode:
    """List the profiles that were created on this machine: id, photos, time and folder."""
    profiles = created_profiles(os.environ)
    for each in profiles:
        photos = count(each.photos, "photo")
        context.console.result(f"{each.profile_id}  {each.created}  {photos}  {each.folder}")
    if not profiles:
        context.console.info("no profile was created here; FoxAPI has no list of profiles")
    context.console.document(
        profiles=[attrs.asdict(each) for each in profiles], exit_code=ExitCode.OK
    )
    return ExitCode.OK


def _print(context: CommandContext, profile: CreatedProfile) -> ExitCode:
    context.console.result(profile.profile_id)
    context.console.document(**attrs.asdict(profile), exit_code=ExitCode.OK)
    return ExitCode.OK


def _journal_for(key: str, given: str | None) -> ChosenJournal:
    """Return the journal for a profile: the default one, whatever the environment says, if it knows it."""
    default = state_directory(os.environ) / JOURNAL_NAME
    own = chosen_journal(str(default))
    if given is None and (
        own.find([key])
        or any(
            (each.journal, each.key) == (own.journal.address, key)
            for each in created_profiles(os.environ)
        )
    ):
        return own
    return chosen_journal(given, default)


def _current(
    chosen: ChosenJournal, key: str, created: Mapping[str, CreatedProfile], *, again: bool
) -> tuple[str, str | None]:
    """Return the key of the last profile of the photos and its status, or with ``again`` the next key."""
    keys = [key, *(f"{key}-{number}" for number in range(2, _MOST_PROFILES))]
    found = chosen.find(keys)
    # A profile that was created counts even if the journal is lost.
    statuses = {each: str(entry.status) for each, entry in found.items()}
    statuses |= dict.fromkeys(created, "completed")
    used = [each for each in keys if each in statuses]
    if not used:
        return key, None
    # What is under way is continued: a repeated --again must not pay for one more.
    if again and statuses[used[-1]] in _MAY_REPEAT:
        return keys[keys.index(used[-1]) + 1], None
    return used[-1], statuses[used[-1]]


def profile_id_of(task: Task) -> str:
    """Return the id of the profile that a task has created."""
    for output in task.outputs:
        if isinstance(id_ := output.data.get("profile_id"), str) and id_:
            return id_
    raise InvalidResponseError(
        f"task {task.id} is completed, but its answer names no profile_id; `foxapi status {task.id}` "
        "shows it",
        task_id=task.id,
    )


@attrs.frozen(eq=False)
class _Creation:
    context: CommandContext
    photos: Photos
    key: str
    journal: ChosenJournal
    timeout: float | None

    def run(self) -> Task:
        try:
            with (
                tempfile.TemporaryDirectory(prefix="foxapi-profile-") as directory,
                show_progress(self.context.console, TaskStates()) as on_event,
            ):
                archive = Path(directory) / "photos.zip"
                self.photos.write(archive)
                session = self.context.session(journal=self.journal.journal, on_event=on_event)
                return run_interruptible(self._create(session, archive))
        except SubmissionUnknownError:
            resolve = ["foxapi", "resolve", self.key, "TASK_ID", "--journal", self.journal.shown]
            self.context.console.warning(
                "check at the service whether a task was created; to record it:\n  "
                + shlex.join(resolve)
                + "\nif there is none, the same command with --again makes another profile, billed again"
            )
            raise
        except TaskFailedError:
            self.context.console.warning("--again makes another profile; it is billed again")
            raise
        except (FoxAPIError, Interrupted):
            self.context.console.warning(
                "to go on, run the same command again; what is billed is not billed again"
            )
            raise

    async def _create(self, session: Session, archive: Path) -> Task:
        from foxapi_async.bulk.input.input_uploads import InputUploads  # noqa: PLC0415 - loads aiohttp
        from foxapi_async.bulk.input.local_files import LocalFiles  # noqa: PLC0415

        files = LocalFiles(archive.parent)
        stand_in = files.replace("image_archive_url", archive.name)
        async with session:
            uploads = InputUploads(session, files)
            request = uploads.prepared(PhotaCreateProfile(stand_in))
            return await session.generate(request, key=self.key, timeout=self.timeout)
