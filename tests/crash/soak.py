"""The kill tests, for as long as needed: ``python -m tests.crash.soak --rounds 20 --kills 100 --seed 1``.

Each round runs a new job with workers that are killed, in each stage and at random moments, until it
is done, and compares what was billed with the journal and the files. The tests run one short round;
run this before a release, and after a change of the journal or of bulk jobs. The exit code is 0, or
the output names the seed of the round that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.crash.crash_job import open_crash_job
from tests.crash.stages import STAGES


async def run_round(seed: int, kills: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        async with open_crash_job(Path(folder), requests=100, seed=seed) as crash_job:
            each = max(1, kills // 2 // len(STAGES))
            await crash_job.kill_in_every_stage(each, max(0, kills - each * len(STAGES)))
            said = await crash_job.run()
            assert said == "done", said
            crash_job.check()
            billed = len(crash_job.emulator.tasks)
            return (
                f"{crash_job.requests} requests, {crash_job.kills.total()} kills, {billed} tasks billed, "
                f"{crash_job.in_flight_at_kills} submissions in flight at the kills"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kills", type=int, default=60, help="in each round")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for seed in range(given.seed, given.seed + given.rounds):
        try:
            print(f"seed {seed}: {asyncio.run(run_round(seed, given.kills))}", flush=True)  # noqa: T201
        except BaseException:
            print(f"seed {seed} failed", flush=True)  # noqa: T201
            raise


if __name__ == "__main__":
    main()
