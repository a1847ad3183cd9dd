"""A process that forks workers, so that a worker needs no imports. It reads orders from stdin, as JSON.

Each order holds the arguments of `work` for one worker. The process writes "started PID" and
"ended PID STATUS REPORT" to stdout as they happen; the report says how the run of the worker ended.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from foxapi_async import FoxAPIError, Limits, Polling, Retry, Session
from foxapi_async.bulk import Job, run_job
from tests.crash.stages import InFlight, KillSwitch, install


async def run(order: dict[str, Any]) -> str:
    out = Path(order["out"])
    session = Session(
        "sk-emulator",
        base_url=order["url"],
        journal=order.get("journal") or out / "journal.sqlite",
        limits=Limits(outputs=order["width"]),
        polling=Polling(poll_cost=0.01, min_interval=0.03),
        retry=Retry(first=0.05),
    )
    job = Job.read(order["jobs"])
    async with session, run_job(session, job, out, sheet=False) as run:
        async for _ in run:
            pass
        stopped = run.summary.stopped
    return "done" if stopped is None else f"stopped: {stopped}"


def work(order: dict[str, Any]) -> None:
    Path(order["out"]).mkdir(exist_ok=True)
    install(
        KillSwitch(order.get("stage", ""), order.get("nth", 1)), InFlight(Path(order["in_flight"]))
    )
    if (most := order.get("largest_file")) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    if (user := order.get("user")) is not None and os.getuid() == 0:
        os.setuid(user)
    try:
        said = asyncio.run(run(order))
    except FoxAPIError as error:
        said = f"{type(error).__name__}: {error}"
    os.write(order["report"], said.encode())


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def wait_for(pid: int, report: int) -> None:
    with open(report, encoding="utf-8", errors="replace") as file:
        said = file.read()
    _, status = os.waitpid(pid, 0)
    say(f"ended {pid} {os.waitstatus_to_exitcode(status)} {json.dumps(said)}")


def main() -> None:
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            code = 1
            try:
                work(order | {"report": write})
                code = 0
            except Exception:  # noqa: BLE001 - said, and told by the exit code
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(write)
        say(f"started {pid}")
        threading.Thread(target=wait_for, args=(pid, read)).start()


if __name__ == "__main__":
    main()
