"""Worker processes on one PostgreSQL journal, killed in every stage, while the server is restarted.

``python -m tests.proof.shared_journal --cycles 100 --seed 1``

Each cycle gives three workers a share of the jobs each, and some jobs to all of them. Workers kill
themselves in a stage of a submission; another worker then takes over the share. The server is restarted
or crashed, or ends its connections, at random moments. Then what the emulator has billed is compared
with the journal, and the jobs are run once more, which must bill nothing. The tests run a few cycles.
"""

from __future__ import annotations

import argparse
import asyncio


def main() -> None:
    # Here, because each worker process imports this module once more.
    from tests.proof.shared_cycles import prove  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(asyncio.run(prove(given.cycles, given.seed)))  # noqa: T201


if __name__ == "__main__":
    main()
