"""`foxapi demo`: generate, download and check images on a local emulator, without key and network."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import anyio.to_thread
import attrs
from typer import Option

import foxapi_async
from foxapi_async import DownloadError, FoxAPIError, Limits, PhotaImage, Request, Statistics
from foxapi_async.cli.console import Console
from foxapi_async.cli.context import CommandContext, prepare_directory
from foxapi_async.cli.exit_codes import ExitCode, exit_code_for_outcome, most_severe
from foxapi_async.cli.formatting import count, duration, error_text
from foxapi_async.cli.places import folder_of
from foxapi_async.cli.progress import show_progress
from foxapi_async.cli.signals import run_interruptible
from foxapi_async.cli.task_state import TaskStates

if TYPE_CHECKING:
    from foxapi_async import Outcome, Session
    from foxapi_async.emulator import Counters

_KEY: Final = "sk-emulator"
_MAX_IN_FLIGHT: Final = 6
"""Fewer than all images, so that the demo shows how submissions wait for a slot."""

_SEED: Final = 67

_SINGLES: Final = (
    PhotaImage("Mist over the hills at daybreak", aspect_ratio="3:4"),
    PhotaImage("A low sun behind the mountains", aspect_ratio="16:9"),
    PhotaImage("Quiet hills after the rain", aspect_ratio="1:1"),
    PhotaImage("The last light of a long day", aspect_ratio="4:3"),
)
_FANNED_OUT: Final = PhotaImage("One valley, four ways", num_outputs=4, aspect_ratio="2:3")
_IMAGES: Final = len(_SINGLES) + _FANNED_OUT.num_outputs

SHEET: Final = "contact-sheet.png"


def demo(
    context: CommandContext,
    *,
    output: Annotated[
        Path,
        Option(
            "--output",
            "-o",
            metavar="DIR",
            parser=folder_of,
            help="The directory where the images are saved.",
        ),
    ] = Path("foxapi-demo"),
    speed: Annotated[
        float, Option(metavar="FACTOR", help="How many times faster than real tasks.")
    ] = 3.0,
) -> ExitCode:
    """Generate images on a local emulator: no key, no network, nothing is billed."""
    console = context.console
    directory = prepare_directory(output)
    console.info(
        "An emulator of FoxAPI runs on this machine: no key, no network, nothing is billed.\n"
        f"{len(_SINGLES) + 1} requests ask it for {_IMAGES} images. One of them asks for "
        f"{_FANNED_OUT.num_outputs} and is fanned out into one task per image;\n"
        f"{_MAX_IN_FLIGHT} images may be in flight at once, the others wait for a slot.\n"
    )
    return _report(console, directory, run_interruptible(_run(console, directory, speed)))


@attrs.frozen
class _Image:
    path: Path
    prompt: str
    details: str


@attrs.frozen
class _DemoResult:
    images: Sequence[_Image]
    codes: Sequence[ExitCode]
    statistics: Statistics
    counters: Counters


async def _run(console: Console, directory: Path, speed: float) -> _DemoResult:
    from foxapi_async.emulator import Emulator  # noqa: PLC0415 - loads aiohttp

    states = TaskStates(_Labels())
    images: dict[str, _Image] = {}
    codes: list[ExitCode] = []

    async with Emulator(speed=speed, seed=_SEED, api_key=_KEY) as emulator:
        with show_progress(console, states) as on_event:
            session = foxapi_async.Session(
                _KEY,
                base_url=emulator.url,
                limits=Limits(outputs=_MAX_IN_FLIGHT),
                on_event=on_event,
            )

            async def save(outcome: Outcome) -> None:
                try:
                    image = await _save(session, outcome, directory, states)
                except FoxAPIError as error:
                    console.error(error_text(error))
                    codes.append(exit_code_for_outcome(outcome.status, error))
                else:
                    images[image.path.name] = image

            async def save_all(outcomes: AsyncIterator[Outcome]) -> None:
                async with anyio.create_task_group() as saving:
                    async for outcome in outcomes:
                        saving.start_soon(save, outcome)

            async with session, anyio.create_task_group() as both:
                both.start_soon(save_all, session.map(_SINGLES))
                both.start_soon(save_all, session.fan_out(_FANNED_OUT))
            statistics = session.statistics()
        counters = emulator.counters
    ordered = [images[name] for name in sorted(images)]
    if ordered:
        title = f"foxapi demo: {count(len(ordered), 'image')}, {count(counters.tasks, 'task')}"
        await anyio.to_thread.run_sync(_draw_sheet, ordered, directory / SHEET, title)
    return _DemoResult(ordered, codes, statistics, counters)


@attrs.define(eq=False)
class _Labels:
    _seen: Counter[str] = attrs.field(factory=Counter[str])

    def __call__(self, request: Request | None, task_id: str) -> str:
        if not isinstance(request, PhotaImage):
            return task_id
        if request.prompt != _FANNED_OUT.prompt:
            return request.prompt
        self._seen[request.prompt] += 1
        return f"{request.prompt}, {self._seen[request.prompt]}/{_FANNED_OUT.num_outputs}"


async def _save(session: Session, outcome: Outcome, directory: Path, states: TaskStates) -> _Image:
    from foxapi_async.emulator import size_of  # noqa: PLC0415 - loads aiohttp

    request, task = outcome.request, outcome.task
    if outcome.error is not None:
        raise outcome.error
    assert task is not None
    assert isinstance(request, PhotaImage)
    number = (*(each.prompt for each in _SINGLES), _FANNED_OUT.prompt).index(request.prompt) + 1
    part = "" if number <= len(_SINGLES) else f"-{outcome.index + 1}"
    path, *_ = await session.download(task, directory, name=f"demo-{number}{part}")
    size = await anyio.to_thread.run_sync(_image_size, path)
    wanted = size_of(request.aspect_ratio, request.resolution)
    if size != wanted:
        raise DownloadError(
            f"{path}: the image is {size[0]} x {size[1]}, not {wanted[0]} x {wanted[1]} pixels",
            task_id=task.id,
        )
    state = states.by_id[task.id]
    details = f"{request.aspect_ratio}  ·  {size[0]} x {size[1]}  ·  {duration(state.seconds or 0)}"
    return _Image(path, state.label, details)


def _image_size(path: Path) -> tuple[int, int]:
    from PIL import Image  # noqa: PLC0415 - slow to load

    try:
        with Image.open(path) as image:
            image.verify()
        with Image.open(path) as image:
            image.load()  # pyright: ignore[reportUnknownMemberType]
            return image.size
    except (OSError, SyntaxError, ValueError) as error:
        raise DownloadError(f"{path}: not a complete image: {error}") from error


def _draw_sheet(images: Sequence[_Image], target: Path, title: str) -> None:
    from PIL import Image, ImageDraw, ImageFont, ImageOps  # noqa: PLC0415 - slow to load

    columns, cell, gap, caption, header = 4, 360, 24, 64, 64
    rows = -(-len(images) // columns)
    size = (gap + columns * (cell + gap), header + rows * (cell + caption))
    sheet = Image.new("RGB", size, (19, 21, 27))
    pen = ImageDraw.Draw(sheet)
    pen.text((gap, gap), title, font=ImageFont.load_default(24), fill="white")
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        left, below = gap + column * (cell + gap), header + row * (cell + caption) + cell
        with Image.open(image.path) as opened:
            small = ImageOps.contain(opened.convert("RGB"), (cell, cell))
        sheet.paste(small, (left, below - small.height))
        pen.text((left, below + 8), image.prompt, font=ImageFont.load_default(16), fill="white")
        pen.text((left, below + 30), image.details, font=ImageFont.load_default(13), fill="gray")
    part = target.with_name(f".{target.name}.part")
    sheet.save(part, "PNG")
    part.replace(target)


def _report(console: Console, directory: Path, result: _DemoResult) -> ExitCode:
    statistics, counters = result.statistics, result.counters
    files = [str(image.path) for image in result.images]
    sheet = str(directory / SHEET)
    code = most_severe(result.codes)
    for path in [*files, sheet] if files else []:
        console.result(path)
    console.info(
        f"\n{len(files)} of {count(_IMAGES, 'image')} saved in {directory} and checked: each one "
        "can be decoded and has the requested size"
    )
    console.info(
        f"billed: {count(counters.images_billed, 'image')} by the server's count, "
        f"{statistics.images_billed} by the session's; {counters.credits_reserved:,} credits"
    )
    console.info(
        f"polled: {count(counters.polls, 'poll')} for {count(counters.tasks, 'task')}, never more "
        f"than {counters.max_images_in_flight} images in flight"
    )
    if not counters.images_billed == statistics.images_billed == len(files) == _IMAGES:
        console.error(f"{_IMAGES} images should have been billed and saved")
        code = code or ExitCode.TASK_FAILED
    console.document(
        files=files,
        contact_sheet=sheet,
        billed={
            "outputs": statistics.images_billed,
            "by_the_server": counters.images_billed,
            "credits_reserved": counters.credits_reserved,
        },
        polls=counters.polls,
        exit_code=code,
    )
    return code
