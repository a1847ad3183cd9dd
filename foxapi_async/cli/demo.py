"""The main job on a FoxAPI of its own: no key, no network, nothing is paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import attrs
from PIL import Image

from foxapi_async.cli import interrupt
from foxapi_async.cli.command import prepare, progress
from foxapi_async.cli.contact_sheet import Exhibit, draw_sheet
from foxapi_async.cli.exits import Exit, exit_for_outcome, gravest
from foxapi_async.cli.screen import Screen
from foxapi_async.cli.tracks import Tracks
from foxapi_async.cli.words import count, seconds, spoken
from foxapi_async.emulator import Counters, Emulator, size_of
from foxapi_async.errors import DownloadError, FoxAPIError
from foxapi_async.options import Limits
from foxapi_async.outcome import Outcome
from foxapi_async.phota import PhotaImage
from foxapi_async.requests import Request
from foxapi_async.session import Session
from foxapi_async.statistics import Statistics

__all__ = ["run_demo"]

_KEY: Final = "sk-emulator"
_AT_ONCE: Final = 6
"""Images in flight, fewer than there are in all: the demo shows that the rest waits its turn."""

_SEED: Final = 67

SINGLES: Final = (
    PhotaImage("Mist over the hills at daybreak", aspect_ratio="3:4"),
    PhotaImage("A low sun behind the mountains", aspect_ratio="16:9"),
    PhotaImage("Quiet hills after the rain", aspect_ratio="1:1"),
    PhotaImage("The last light of a long day", aspect_ratio="4:3"),
)
FANNED_OUT: Final = PhotaImage("One valley, four ways", num_outputs=4, aspect_ratio="2:3")
SHEET: Final = "contact-sheet.png"


@attrs.define(eq=False)
class _Labels:
    """Names the rows by their prompts; the pieces of a fanned-out request are numbered."""

    _seen: Counter[str] = attrs.field(factory=Counter[str])

    def __call__(self, request: Request | None, task_id: str) -> str:
        if not isinstance(request, PhotaImage):
            return task_id
        if request.prompt != FANNED_OUT.prompt:
            return request.prompt
        self._seen[request.prompt] += 1
        return f"{request.prompt}, {self._seen[request.prompt]}/{FANNED_OUT.num_outputs}"


@attrs.frozen
class _Shown:
    """What the demo has to show at its end."""

    exhibits: tuple[Exhibit, ...]
    codes: tuple[Exit, ...]
    statistics: Statistics
    counters: Counters


def run_demo(screen: Screen, directory: Path, *, speed: float) -> Exit:
    """Show the main job and check what came of it.

    Args:
        screen: Where to show it.
        directory: Where the pictures go.
        speed: How many times faster than real the tasks live.

    Raises:
        FoxAPIError: The folder cannot be written to.
        PillowMissingError: The extra is not installed.
    """
    folder = prepare(directory)
    images = len(SINGLES) + FANNED_OUT.num_outputs
    screen.say(
        "A FoxAPI of its own runs on this machine: no key, no network, and nothing is paid.\n"
        f"{len(SINGLES) + 1} requests ask it for {images} pictures. One of them asks for "
        f"{FANNED_OUT.num_outputs} and is fanned out into one task each;\n"
        f"{_AT_ONCE} images may be in flight, the others wait their turn.\n"
    )
    shown = interrupt.run(_show(screen, folder, speed))
    return _report(screen, folder, shown)


async def _show(screen: Screen, folder: Path, speed: float) -> _Shown:
    tracks = Tracks(_Labels())
    exhibits: dict[str, Exhibit] = {}
    codes: list[Exit] = []

    async with Emulator(speed=speed, seed=_SEED, api_key=_KEY) as emulator:
        with progress(screen, tracks) as note:
            session = Session(
                _KEY, base_url=emulator.url, limits=Limits(outputs=_AT_ONCE), on_event=note
            )

            async def bring_home(outcome: Outcome) -> None:
                try:
                    exhibit = await _saved(session, outcome, folder, tracks)
                except FoxAPIError as error:
                    screen.fail(spoken(error))
                    codes.append(exit_for_outcome(outcome.status, error))
                else:
                    exhibits[exhibit.path.name] = exhibit

            async def all_of(outcomes: AsyncIterator[Outcome]) -> None:
                async with anyio.create_task_group() as homeward:
                    async for outcome in outcomes:
                        homeward.start_soon(bring_home, outcome)

            async with session, anyio.create_task_group() as both:
                both.start_soon(all_of, session.map(SINGLES))
                both.start_soon(all_of, session.fan_out(FANNED_OUT))
            statistics = session.statistics()
        counters = emulator.counters
    ordered = tuple(exhibits[name] for name in sorted(exhibits))
    if ordered:
        title = f"foxapi demo: {count(len(ordered), 'picture')}, {count(counters.tasks, 'task')}"
        await anyio.to_thread.run_sync(lambda: _sheet(folder, ordered, title))
    return _Shown(ordered, tuple(codes), statistics, counters)


async def _saved(session: Session, outcome: Outcome, folder: Path, tracks: Tracks) -> Exhibit:
    """Save the picture of a task and make sure that it is what was asked for."""
    request, task = outcome.request, outcome.task
    if outcome.error is not None:
        raise outcome.error
    assert task is not None
    assert isinstance(request, PhotaImage)
    number = (*(each.prompt for each in SINGLES), FANNED_OUT.prompt).index(request.prompt) + 1
    piece = "" if number <= len(SINGLES) else f"-{outcome.index + 1}"
    path, *_ = await session.download(task, folder, name=f"demo-{number}{piece}")
    size = await anyio.to_thread.run_sync(_size_of_picture, path)
    wanted = size_of(request.aspect_ratio, request.resolution)
    if size != wanted:
        raise DownloadError(
            f"{path}: the picture is {size[0]} x {size[1]}, not {wanted[0]} x {wanted[1]} pixels",
            task_id=task.id,
        )
    age = tracks.by_id[task.id].seconds or 0.0
    details = f"{request.aspect_ratio}  ·  {size[0]} x {size[1]}  ·  {seconds(age)}"
    return Exhibit(path, tracks.by_id[task.id].label, details)


def _size_of_picture(path: Path) -> tuple[int, int]:
    """Return (width, height) of a picture that is whole.

    Raises:
        DownloadError: It cannot be decoded to the end.
    """
    try:
        with Image.open(path) as picture:
            picture.verify()
        with Image.open(path) as picture:
            picture.load()  # pyright: ignore[reportUnknownMemberType]
            return picture.size
    except (OSError, SyntaxError, ValueError) as error:
        raise DownloadError(f"{path}: not a whole picture: {error}") from error


def _sheet(folder: Path, exhibits: tuple[Exhibit, ...], title: str) -> None:
    draw_sheet(
        exhibits,
        folder / SHEET,
        title=title,
        subtitle="submitted, awaited and downloaded by foxapi-async; "
        "drawn by its local emulator, not by a real model",
    )


def _report(screen: Screen, folder: Path, shown: _Shown) -> Exit:
    statistics, counters = shown.statistics, shown.counters
    wanted = len(SINGLES) + FANNED_OUT.num_outputs
    pictures = len(shown.exhibits)
    code = gravest(shown.codes)
    for exhibit in shown.exhibits:
        screen.result(str(exhibit.path))
    if shown.exhibits:
        screen.result(str(folder / SHEET))
    screen.say(
        f"\n{pictures} of {count(wanted, 'picture')} saved in {folder} and checked: each opens, and "
        "has the size that was asked for"
    )
    screen.say(
        f"billed: {count(counters.images_billed, 'image')} by the server's count, "
        f"{statistics.images_billed} by the session's; {counters.credits_reserved:,} credits"
    )
    screen.say(
        f"asked:  {count(counters.polls, 'look')} at {count(counters.tasks, 'task')}, never more "
        f"than {counters.max_images_in_flight} images in flight"
    )
    if not counters.images_billed == statistics.images_billed == wanted or pictures != wanted:
        screen.fail(f"{wanted} pictures should have been billed and saved")
        code = code or Exit.TASK_FAILED
    screen.document(
        {
            "files": [str(exhibit.path) for exhibit in shown.exhibits],
            "contact_sheet": str(folder / SHEET),
            "billed": {
                "outputs": statistics.images_billed,
                "by_the_server": counters.images_billed,
                "credits_reserved": counters.credits_reserved,
            },
            "polls": counters.polls,
            "exit_code": int(code),
        }
    )
    return code
