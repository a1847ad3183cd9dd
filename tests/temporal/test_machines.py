"""Worker processes, one of which is killed, and a Temporal server that is restarted meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from foxapi_async.emulator import Emulator
from tests.postgres_server import PostgresServer
from tests.temporal.machines import check, machines_on, tell_story
from tests.temporal.server import TemporalServer

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.once, pytest.mark.much]


async def test_a_killed_worker_costs_nothing_but_its_posts_in_the_air(
    temporal: TemporalServer,
    postgres: PostgresServer,
    emulator: Emulator,
    queue: str,
    tmp_path: Path,
):
    def restart() -> None:
        postgres.stop(signal.SIGQUIT)
        temporal.kill()
        temporal.start()
        postgres.start()

    journal = f"{postgres.dsn}#{queue}"
    with machines_on(temporal, emulator, tmp_path, queue, journal) as machines:
        story = await tell_story(machines, jobs=50, kill_at=12, restart=restart)
    check(story)
