"""Kill workers of a job at different moments, by hand: ``python -m tests.proof.many_machines``.

    python -m tests.proof.many_machines --cycles 20 --jobs 100

Each cycle starts two workers, kills one at a random POST, and restarts Temporal, PostgreSQL, both or
neither meanwhile. It checks what is billed, what is unknown, that all others complete without a person,
that a second run bills nothing, and that the other worker drains. The exit code is 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from foxapi_async.emulator import Emulator
from tests.postgres_server import PostgresServer, binaries, running_server
from tests.temporal.machines import check, machines_on, tell_story
from tests.temporal.server import TemporalServer, temporal_server


async def cycle(
    temporal: TemporalServer, postgres: PostgresServer | None, rng: random.Random, jobs: int
) -> str:
    """Run one cycle; return a line about it. Raise AssertionError if a promise is broken."""

    def temporal_too() -> None:
        temporal.kill()
        temporal.start()

    restarts: dict[str, Callable[[], None] | None] = {"nothing": None, "Temporal": temporal_too}
    if postgres is not None:
        how = rng.choice([signal.SIGINT, signal.SIGQUIT])
        restarts["PostgreSQL"] = lambda: postgres.restart(how)
        restarts["both"] = lambda: (temporal_too(), postgres.restart(how))[0]
    restarted = rng.choice(list(restarts))
    kill_at = rng.randint(1, jobs - 5)
    queue = uuid.uuid4().hex
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = str(folder / "journal.sqlite") if postgres is None else f"{postgres.dsn}#{queue}"
        async with Emulator(
            duration=0.5, picture_scale=1 / 32, seed=rng.randrange(1000)
        ) as emulator:
            with machines_on(temporal, emulator, folder, queue, journal) as machines:
                story = await tell_story(
                    machines, jobs=jobs, kill_at=kill_at, restart=restarts[restarted]
                )
    check(story)
    return (
        f"killed at POST {kill_at:3}, {story.sending} in the air, restarted {restarted}: billed "
        f"{story.billed} of {jobs}, {dict(story.statuses)}, {time.monotonic() - began:.0f} s"
    )


def main() -> int:
    """Run the cycles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with temporal_server() as temporal:
        if binaries() is None:
            say("PostgreSQL is not installed: the journal is a file")
            return run(temporal, None, rng, options)
        with running_server() as postgres:
            return run(temporal, postgres, rng, options)


def run(
    temporal: TemporalServer,
    postgres: PostgresServer | None,
    rng: random.Random,
    options: argparse.Namespace,
) -> int:
    for number in range(options.cycles):
        try:
            line = asyncio.run(cycle(temporal, postgres, rng, options.jobs))
        except AssertionError as error:
            say(f"{number + 1}: BROKEN: {error}")
            return 1
        say(f"{number + 1}: {line}")
    return 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
