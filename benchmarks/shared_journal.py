"""Journalled submissions per second on one server: ``python -m benchmarks.shared_journal``.

Only the journal is measured, without HTTP: a claim of a key, `sending` and `accepted`, by one session,
and by ten sessions that share the journal, each in a process of its own. CPU is that of the sessions and
of PostgreSQL together. The server syncs each commit to the disk. ``--entries N`` fills the journal first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import table
from foxapi_async import PhotaImage
from foxapi_async.journal import journal_at

QUESTION = "Journalled submissions per second, by one session and by ten"
CONCURRENT = 256
"""Submissions of all sessions at once."""
SESSIONS = 10


async def work(address: str, name: str, number: int, width: int) -> dict[str, float]:
    """Submit in this process, after a line on standard input."""
    request = PhotaImage("a fox in the snow, watercolour, soft light")
    numbers = iter(range(number))

    async def submit(prefix: str) -> None:
        for each in numbers:
            claim = await journal.claim(f"{prefix} {each}", request)
            await claim.sending()
            await claim.accepted(f"task-{prefix}-{each}", 10.0)

    async with journal_at(address) as journal:
        warm_up = await journal.claim(f"warm-up {name}", request)
        await warm_up.sending()
        await warm_up.accepted(f"warm-up-{name}")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(submit(name) for _ in range(width)))
        return {"wall": time.monotonic() - began, "cpu": time.process_time() - cpu}


def measure(address: str, sessions: int, number: int, turn: str, pid: int) -> dict[str, float]:
    """Return submissions per second, and microseconds of CPU of one submission."""
    each = number // sessions
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.shared_journal", "--work", address),
                *(f"{turn}-{session}", str(each), str(CONCURRENT // sessions)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for session in range(sessions)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    before = server_cpu(pid)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    results = []
    for process in processes:
        assert process.stdout is not None
        results.append(json.loads(process.stdout.readline()))
    server = server_cpu(pid) - before
    for process in processes:
        process.communicate()
    return {
        "rate": each * sessions / max(result["wall"] for result in results),
        "client": 1e6 * sum(result["cpu"] for result in results) / (each * sessions),
        "server": 1e6 * server / (each * sessions),
    }


def server_cpu(pid: int) -> float:
    """Return the seconds of CPU of a process and its living children, 0 for no process."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if pid and pid in {int(stat.parent.name), int(fields[1])}:
            # The children that have ended are counted with the process itself.
            counted = fields[11:15] if pid == int(stat.parent.name) else fields[11:13]
            ticks += sum(map(int, counted))
    return ticks / os.sysconf("SC_CLK_TCK")


def fill(server: Any, name: str, entries: int) -> None:
    """Add entries of tasks that have ended."""
    server.execute(
        f'INSERT INTO "foxapi_{name}".entries (key, status, keyed, model, kind, path, payload,'
        " num_outputs, task_id, submitted, created, updated)"
        " SELECT convert_to('old ' || n, 'UTF8'), 'saved', true, 'phota-image', 'image',"
        ' \'/v1/images/generations\', \'{"model": "phota-image", "prompt": "a fox"}\', 1,'
        f" 'task-old-' || n, 1e9, 1e9, 1e9 FROM generate_series(1, {entries}) n"
    )
    server.execute(f'VACUUM ANALYZE "foxapi_{name}".entries')


def compare(options: argparse.Namespace) -> None:
    from tests.postgres_server import running_server  # noqa: PLC0415 - needs the driver

    number = 300 if options.quick else 6_000
    with tempfile.TemporaryDirectory() as folder, running_server(fsync="on") as server:
        pid = server.pid
        if options.entries:
            asyncio.run(open_once(f"{server.dsn}#shared"))
            fill(server, "shared", options.entries)
        cases = (
            ("SQLite, 1 session", f"{folder}/journal", 1, 0),
            ("PostgreSQL, 1 session", f"{server.dsn}#shared", 1, pid),
            (f"PostgreSQL, {SESSIONS} sessions", f"{server.dsn}#shared", SESSIONS, pid),
        )
        found: dict[str, list[dict[str, float]]] = {name: [] for name, *_ in cases}
        for turn in range(options.rounds):
            for name, address, sessions, process in cases:
                found[name].append(
                    measure(address, sessions, number, f"{turn}-{sessions}", process)
                )
    base = found[cases[1][0]]
    table.show(
        ("", "per second", "CPU us, sessions", "CPU us, server", "CPU x 1 session"),
        [
            [
                name,
                *(
                    round(table.middle([each[key] for each in found[name]]))
                    for key in ("rate", "client", "server")
                ),
                table.middle([
                    (a["client"] + a["server"]) / (b["client"] + b["server"])
                    for a, b in zip(found[name], base, strict=True)
                ]),
            ]
            for name, *_ in cases
        ],
    )  # fmt: skip


async def open_once(address: str) -> None:
    async with journal_at(address):
        pass


def main(given: Sequence[str] | None = None) -> int:
    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--entries", type=int, default=0, help="entries that exist before")
        parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)

    options = table.arguments(QUESTION, given, rounds=3, more=more)
    if options.work:
        address, name, number, width = options.work
        print(json.dumps(asyncio.run(work(address, name, int(number), int(width)))), flush=True)
        return 0
    table.introduce(QUESTION, packages=("psycopg",))
    compare(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
