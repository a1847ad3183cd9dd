"""A process that submits with a journal; the tests stop it, kill it and check its journal.

hold PATH KEY STATUS     bring a key to STATUS, print "ready", and accept it after a line on stdin
fork PATH KEY STATUS     the same, with a forked child that outlives the parent
bill PATH BILLS KEYS     submit KEYS keys; each key that a server would bill is appended to BILLS
"""

from __future__ import annotations

import asyncio
import os
import sys

from foxapi_async.errors import SubmissionUnknownError
from foxapi_async.journal import StoredJournal, journal_at
from foxapi_async.phota import PhotaImage

REQUEST = PhotaImage("a cat")


def say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def hold(path: str, key: str, status: str, *, fork: bool = False) -> None:
    async with journal_at(path) as journal:
        claim = await journal.claim(key, REQUEST)
        if status != "planned":
            await claim.sending()
        if status == "accepted":
            await claim.accepted(f"task of {key}")
        if fork and os.fork() == 0:
            # Lives until the test lets go of the pipe, with all that the parent had open.
            sys.stdin.read()
            os._exit(0)
        say_ready()
        await asyncio.to_thread(sys.stdin.readline)
        if status == "planned":
            await claim.sending()
        if status != "accepted":
            await claim.accepted(f"task of {key}")


async def bill(path: str, bills: str, keys: int) -> None:
    server = os.open(bills, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    numbers = iter(range(keys))

    async def submit(journal: StoredJournal) -> None:
        for number in numbers:
            try:
                async with await journal.claim(f"k{number}", REQUEST) as claim:
                    if claim.is_new:
                        await claim.sending()
                        await asyncio.sleep(0.002)
                        os.write(server, f"k{number}\n".encode())
                        await asyncio.sleep(0.002)
                        await claim.accepted(f"task of k{number}", 9.0)
            except SubmissionUnknownError:
                pass

    async with journal_at(path) as journal:
        say_ready()
        await asyncio.gather(*(submit(journal) for _ in range(WIDTH)))


WIDTH = 8
"""Concurrent submissions of one process."""

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["bill", path, bills, keys]:
            asyncio.run(bill(path, bills, int(keys)))
        case [mode, path, key, status]:
            asyncio.run(hold(path, key, status, fork=mode == "fork"))
