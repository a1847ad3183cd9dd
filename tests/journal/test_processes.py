"""Real processes: killed, stopped, forked, and two on one file."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foxapi_async.errors import SubmissionUnknownError
from foxapi_async.journal import Claim, journal_at
from tests.journal.worker import REQUEST, WIDTH

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are a matter of POSIX")

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def worker(*args: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.journal.worker", *map(str, args)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def ask(address: str | Path, key: str = "k") -> Claim:
    async def claim() -> Claim:
        async with journal_at(address) as journal, await journal.claim(key, REQUEST) as got:
            return got

    return asyncio.run(asyncio.wait_for(claim(), 30))


def statuses(address: str) -> list[str]:
    return [entry.status.value for entry in journal_at(address).entries()]


def test_killed_before_sending_is_submitted_by_the_next_process(journal_address: str):
    with worker("hold", journal_address, "k", "planned") as process:
        assert statuses(journal_address) == ["planned"]
        process.kill()
        process.wait()
        assert ask(journal_address).is_new


def test_killed_while_sending_comes_back_as_unknown(journal_address: str):
    with worker("hold", journal_address, "k", "sending") as process:
        assert statuses(journal_address) == ["sending"]
        process.kill()
        process.wait()
        assert statuses(journal_address) == ["unknown"]
        assert len(journal_at(journal_address).entries("unknown")) == 1
        assert journal_at(journal_address).entries("sending") == []
        with pytest.raises(SubmissionUnknownError, match="ended before it knew"):
            ask(journal_address)
        assert journal_at(journal_address).forget("k")[0].status == "unknown"
        assert ask(journal_address).is_new


def test_killed_after_the_answer_gives_the_task_to_the_next_process(journal_address: str):
    with worker("hold", journal_address, "k", "accepted") as process:
        process.kill()
        process.wait()
    assert [entry.task_id for entry in journal_at(journal_address).unfinished()] == ["task of k"]
    assert ask(journal_address).entry.task_id == "task of k"


def test_the_owner_file_of_a_dead_process_is_removed(path: Path):
    with worker("hold", path, "k", "accepted") as process:
        process.kill()
        process.wait()
    assert len(list(path.parent.glob("*.owner"))) == 1
    ask(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_forked_child_does_not_keep_its_dead_parent_alive(journal_address: str):
    with worker("fork", journal_address, "k", "sending") as process:
        process.kill()
        process.wait()
        with pytest.raises(SubmissionUnknownError):
            ask(journal_address)
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("status", ["planned", "sending"])
def test_a_claim_waits_for_a_living_process_that_submits_the_key(journal_address: str, status: str):
    with worker("hold", journal_address, "k", status) as process:

        async def ask_and_let_go() -> Claim:
            async with journal_at(journal_address) as journal:
                asking = asyncio.create_task(journal.claim("k", REQUEST))
                done, _ = await asyncio.wait([asking], timeout=0.3)
                assert not done
                assert process.stdin is not None
                process.stdin.write("accept\n")
                process.stdin.flush()
                return await asyncio.wait_for(asking, 30)

        assert asyncio.run(ask_and_let_go()).entry.task_id == "task of k"


def test_a_stopped_process_is_not_dead(journal_address: str):
    with worker("hold", journal_address, "k", "sending") as process:
        process.send_signal(signal.SIGSTOP)

        async def ask_and_kill() -> None:
            async with journal_at(journal_address) as journal:
                asking = asyncio.create_task(journal.claim("k", REQUEST))
                done, _ = await asyncio.wait([asking], timeout=0.3)
                assert not done
                process.kill()
                with pytest.raises(SubmissionUnknownError):
                    await asyncio.wait_for(asking, 30)

        asyncio.run(ask_and_kill())


def test_two_processes_with_the_same_keys_bill_each_once(journal_address: str, tmp_path: Path):
    bills = tmp_path / "bills"
    with (
        worker("bill", journal_address, bills, 300) as one,
        worker("bill", journal_address, bills, 300) as two,
    ):
        assert one.wait(40) == two.wait(40) == 0
    assert Counter(bills.read_text().split()) == {f"k{n}": 1 for n in range(300)}
    assert statuses(journal_address) == ["accepted"] * 300


@pytest.mark.once
def test_killed_again_and_again_nothing_is_billed_twice_or_lost(
    journal_address: str, tmp_path: Path
):
    bills, keys, randomness = tmp_path / "bills", 400, random.Random(7)
    kills = 0
    while True:
        with worker("bill", journal_address, bills, keys) as process:
            try:
                process.wait(randomness.uniform(0.02, 0.15) if kills < 10 else 30)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
    assert kills > 3
    billed = Counter(bills.read_text().split())
    assert set(billed.values()) == {1}
    entries = {entry.key: entry for entry in journal_at(journal_address).entries()}
    assert len(entries) == keys
    known = {key for key, entry in entries.items() if entry.status == "accepted"}
    unknown = {key for key, entry in entries.items() if entry.status == "unknown"}
    assert known | unknown == set(entries)
    assert known <= set(billed)
    assert len(unknown) <= kills * WIDTH
    assert all(entries[key].task_id == f"task of {key}" for key in known)


def test_a_fork_in_the_middle_leaves_the_parents_journal_alone(journal_address: str):
    script = f"""
import asyncio, os
from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import journal_at
from tests.journal.worker import REQUEST

async def submit(journal, key):
    async with await journal.claim(key, REQUEST) as claim:
        await claim.sending()
        await claim.accepted("task of " + key)

async def child(journal):
    try:
        await journal.claim("k", REQUEST)
    except ConfigurationError:
        pass
    else:
        os._exit(7)
    async with journal:
        await submit(journal, "child")

async def parent():
    async with journal_at({journal_address!r}) as journal:
        await submit(journal, "before")
        pid = os.fork()
        if pid == 0:
            asyncio._set_running_loop(None)
            asyncio.run(child(journal))
            os._exit(0)
        status = await asyncio.to_thread(os.waitpid, pid, 0)
        assert status[1] == 0, status
        await submit(journal, "after")

asyncio.run(parent())
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, check=True, timeout=40)
    assert [entry.key for entry in journal_at(journal_address).unfinished()] == [
        "before",
        "child",
        "after",
    ]


def test_a_claim_waits_while_another_process_locks_the_file(path: Path):
    ask(path)
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('ready', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"

        async def claim() -> None:
            asking = asyncio.create_task(asyncio.to_thread(ask, path, "other"))
            done, _ = await asyncio.wait([asking], timeout=0.3)
            assert not done
            holder.communicate("\n")
            assert (await asking).is_new

        began = time.monotonic()
        asyncio.run(claim())
        assert time.monotonic() - began < 30
