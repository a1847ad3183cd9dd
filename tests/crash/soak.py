"""The siege for as long as you like: ``python -m tests.crash.soak --rounds 20 --kills 100 --seed 1``.

Each round besieges a new job with workers that are killed, some in each stage and some at random
moments, until it is done, and compares what was billed with what is known and on disk. The tests do
one short round; do this one before a release, and after a change of the journal or of the bulk jobs.
It ends with exit code 0, or with the seed of the round that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.crash.siege import besieged
from tests.crash.stages import STAGES


async def besiege(seed: int, kills: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        async with besieged(Path(folder), requests=100, seed=seed) as siege:
            each = max(1, kills // 2 // len(STAGES))
            await siege.kill_in_every_stage(each, max(0, kills - each * len(STAGES)))
            said = await siege.run()
            assert said == "done", said
            siege.check()
            billed = len(siege.emulator.tasks)
            return (
                f"{siege.requests} requests, {siege.kills.total()} kills, {billed} tasks billed, "
                f"{siege.airborne_at_kills} submissions in flight at the kills"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kills", type=int, default=60, help="in each round")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for seed in range(given.seed, given.seed + given.rounds):
        try:
            print(f"seed {seed}: {asyncio.run(besiege(seed, given.kills))}", flush=True)  # noqa: T201
        except BaseException:
            print(f"seed {seed} failed", flush=True)  # noqa: T201
            raise


if __name__ == "__main__":
    main()
