"""Forks, and interpreters that end while a session is open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foxapi_async import Journal
from foxapi_async.emulator import Delay, Emulator, Fault

pytestmark = [pytest.mark.once, pytest.mark.ordinary_loop]


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "default::ResourceWarning", "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FORKED = """
import os, sys
from foxapi_async import ConfigurationError, PhotaImage
from foxapi_async.sync import Session
session = Session().open()
handle = session.submit(PhotaImage("a fox"))
outcomes = session.map([PhotaImage("a wolf")])
read = os.pipe()
if os.fork() == 0:
    refused = 0
    for call in (
        lambda: session.generate(PhotaImage("a fox")), handle.wait, handle.updates, outcomes.__next__,
        lambda: session.in_flight, session.balance, lambda: session.map([]),
    ):
        try:
            call()
        except ConfigurationError as error:
            refused += "was forked from it" in str(error)
    outcomes.close()
    session.close()
    with Session() as own:
        own.generate(PhotaImage("a cub"))
    print("child", refused, flush=True)
    os._exit(0)
os.wait()
print("parent", handle.wait().status.value, [o.status for o in outcomes])
session.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_refused_and_opens_its_own(foxapi_emulator: Emulator):
    done = run(FORKED)
    assert done.stdout == "child 7\nparent completed ['completed']\n", done.stderr
    assert done.returncode == 0
    assert foxapi_emulator.counters.tasks == 3


LEFT_OPEN = """
import sys, threading
from foxapi_async import FoxAPIError, PhotaImage
from foxapi_async.sync import Session
session = Session(journal=sys.argv[1]).open()
handle = session.submit(PhotaImage("a fox"), key="fox")
print(handle.id, flush=True)

def post():
    try:
        print(session.submit(PhotaImage("a wolf"), key="wolf").id, flush=True)
        session.generate(PhotaImage("a cub"), key="cub")
    except FoxAPIError as error:
        print(type(error).__name__, flush=True)

started = threading.Event()
threading.Thread(target=post).start()
sys.exit(3)
"""


def test_an_interpreter_that_ends_closes_what_is_open(foxapi_emulator: Emulator, tmp_path: Path):
    """A thread has a POST under way when the main thread ends, and its id reaches the journal."""
    foxapi_emulator.script(Fault("submit", Delay(0.5), nth=2))
    done = run(LEFT_OPEN, tmp_path / "journal.db")
    first, *rest = done.stdout.split()
    assert done.returncode == 3
    assert "a session was not closed" in done.stderr
    assert first in done.stderr
    entries = {entry.key: entry for entry in Journal(tmp_path / "journal.db").unfinished()}
    assert len(entries) == foxapi_emulator.counters.tasks
    assert entries["fox"].task_id == first
    assert rest[-1] == "SessionClosedError"
    assert [*rest[:-1]] == [entry.task_id for key, entry in entries.items() if key == "wolf"]
    assert not Journal(tmp_path / "journal.db").entries("unknown")


INTERRUPTED = """
import sys
from foxapi_async import PhotaImage
from foxapi_async.sync import Session
with Session(journal=sys.argv[1]) as session:
    session.generate(PhotaImage("a fox"), key="fox")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_a_script_ends_it_with_the_id_in_log_and_journal(
    foxapi_emulator: Emulator, tmp_path: Path
):
    import signal  # noqa: PLC0415

    process: list[subprocess.Popen[str]] = []
    arrived = []

    def when(_: object) -> bool:
        arrived.append(process[0].send_signal(signal.SIGINT))
        return True

    foxapi_emulator.script(Fault("submit", Delay(0.3), when=when))
    process.append(
        subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, str(tmp_path / "journal.db")],
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    _, said = process[0].communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    [entry] = Journal(tmp_path / "journal.db").unfinished()
    assert f"waits for them again: {entry.task_id}" in said
    assert foxapi_emulator.counters.tasks == len(arrived) == 1
