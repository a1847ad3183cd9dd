"""`foxapi emulator`: the emulator in the foreground, until Ctrl-C."""

from __future__ import annotations

import math
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import attrs
from typer import Option

from foxapi_async import ConfigurationError, InvalidRequestError
from foxapi_async.cli.console import Console
from foxapi_async.cli.context import CommandContext
from foxapi_async.cli.exit_codes import ExitCode
from foxapi_async.cli.formatting import count
from foxapi_async.cli.signals import Interrupted, run_interruptible

if TYPE_CHECKING:
    from foxapi_async.emulator import Counters, Emulator

_KEY = "sk-emulator"


def emulator(
    context: CommandContext,
    *,
    port: Annotated[int, Option(help="The port on 127.0.0.1; 0 picks a free one.")] = 0,
    speed: Annotated[
        float, Option(metavar="FACTOR", help="How many times faster than real tasks.")
    ] = 1.0,
    seed: Annotated[int, Option(help="Determines durations, failures and images.")] = 0,
    duration: Annotated[
        float | None,
        Option(metavar="SECONDS", help="Duration of every task; by default about 20, varying."),
    ] = None,
    fail_rate: Annotated[
        float, Option(metavar="SHARE", help="The share of tasks that fail, 0 to 1.")
    ] = 0.0,
    max_images_in_flight: Annotated[
        int | None, Option(metavar="N", help="Submissions beyond it are answered 429.")
    ] = None,
    requests_per_second: Annotated[
        float | None, Option(metavar="RATE", help="Requests beyond it are answered 429.")
    ] = None,
    credits_: Annotated[
        int | None, Option("--credits", metavar="N", help="The balance; an image costs 30,000.")
    ] = None,
    latency: Annotated[
        float, Option(metavar="SECONDS", help="How long every response takes.")
    ] = 0.0,
    picture_scale: Annotated[
        float, Option(metavar="FACTOR", help="Scale of the images: 0.25 for a quarter.")
    ] = 1.0,
) -> ExitCode:
    """Run a local FoxAPI in the foreground: real HTTP, generated images, nothing is billed.

    Ctrl-C stops it and prints its counters.
    """
    from foxapi_async.emulator import Emulator  # noqa: PLC0415 - loads aiohttp

    options: dict[str, Any] = {} if duration is None else {"duration": duration}
    try:
        local = Emulator(
            api_key=_KEY,
            port=port,
            speed=speed,
            seed=seed,
            fail_rate=fail_rate,
            max_images_in_flight=max_images_in_flight,
            requests_per_second=requests_per_second,
            credits=credits_,
            latency=latency,
            picture_scale=picture_scale,
            **options,
        )
    except (ValueError, TypeError) as error:
        raise InvalidRequestError(str(error)) from error
    try:
        with suppress(Interrupted):  # the normal end
            run_interruptible(_serve(context.console, local))
    except OSError as error:
        raise ConfigurationError(f"the emulator cannot listen: {error.strerror}") from error
    _print_counters(context.console, local.counters)
    return ExitCode.OK


async def _serve(console: Console, emulator: Emulator) -> None:
    async with emulator:
        console.info("A local FoxAPI is running; use it from another terminal:\n")
        console.result(f"export FOXAPI_BASE_URL={shlex.quote(emulator.url)}")
        console.result(f"export FOXAPI_API_KEY={_KEY}")
        console.info(
            '\nfor example: foxapi generate "A fox in the snow" -n 2 -o out\nCtrl-C stops it.'
        )
        console.document(event="started", url=emulator.url, api_key=_KEY)
        await anyio.sleep(math.inf)


def _print_counters(console: Console, counters: Counters) -> None:
    console.info(
        f"\n{count(counters.tasks, 'task')} created by {count(counters.posts, 'submission')}, "
        f"{count(counters.images_billed, 'image')} billed ({counters.credits_reserved:,} credits)\n"
        f"{count(counters.polls, 'poll')}, {count(counters.downloads, 'download')}, "
        f"{count(counters.uploads, 'upload')}; {count(counters.answered_429, '429 response')}, "
        f"{count(counters.wrong_keys, 'wrong key')}; at most "
        f"{count(counters.max_images_in_flight, 'image')} in flight"
    )
    counted = attrs.asdict(counters, filter=lambda field, _: field.name != "polls_per_task")
    console.document(event="stopped", counters=counted)
