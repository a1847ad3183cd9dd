"""The emulator in the foreground, until Ctrl-C."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

import anyio
import attrs

from foxapi_async.cli import interrupt
from foxapi_async.cli.exits import Exit
from foxapi_async.cli.screen import Screen
from foxapi_async.cli.words import count
from foxapi_async.emulator import Counters, Emulator
from foxapi_async.errors import ConfigurationError, InvalidRequestError

__all__ = ["KEY", "run_emulator"]

KEY = "sk-emulator"


def run_emulator(screen: Screen, **options: object) -> Exit:
    """Serve until a signal comes, then print the counters. That is its ordinary end: exit code 0.

    Args:
        screen: Where to print.
        options: As for `Emulator`; what is None is left to it.

    Raises:
        InvalidRequestError: An option that the emulator refuses.
        ConfigurationError: The port is taken.
        PillowMissingError: The extra is not installed.
    """
    emulator = _emulator({name: value for name, value in options.items() if value is not None})
    try:
        interrupt.run(_serve(screen, emulator))
    except interrupt.Interrupted:
        pass
    except OSError as error:
        raise ConfigurationError(f"the emulator cannot listen: {error.strerror}") from error
    _report(screen, emulator.counters)
    return Exit.OK


def _emulator(options: Mapping[str, object]) -> Emulator:
    try:
        return Emulator(api_key=KEY, **options)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise InvalidRequestError(str(error)) from error


async def _serve(screen: Screen, emulator: Emulator) -> None:
    async with emulator:
        screen.say("A local FoxAPI is running; use it from another terminal:\n")
        screen.result(f"export FOXAPI_BASE_URL={shlex.quote(emulator.url)}")
        screen.result(f"export FOXAPI_API_KEY={KEY}")
        screen.say(
            '\nfor example: foxapi generate "A fox in the snow" -n 2 -o out\nCtrl-C stops it.'
        )
        screen.document({"event": "started", "url": emulator.url, "api_key": KEY})
        await anyio.sleep(math.inf)


def _report(screen: Screen, counters: Counters) -> None:
    screen.say(
        f"\n{count(counters.tasks, 'task')} created by {count(counters.posts, 'submission')}, "
        f"{count(counters.images_billed, 'image')} billed ({counters.credits_reserved:,} credits)\n"
        f"{count(counters.polls, 'look')}, {count(counters.downloads, 'download')}, "
        f"{count(counters.uploads, 'upload')}; {counters.answered_429:,} times 429, "
        f"{count(counters.wrong_keys, 'wrong key')}; at most "
        f"{count(counters.max_images_in_flight, 'image')} in flight"
    )
    counted = attrs.asdict(counters, filter=lambda field, _: field.name != "polls_per_task")
    screen.document({"event": "stopped", "counters": counted})
