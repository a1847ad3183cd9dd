"""Locks on tasks: between processes, and between the runs of one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from foxapi_async import ConfigurationError
from foxapi_async.bulk.record.task_locks import TaskLocks
from tests.cli.process import environment

HOLDER = """
import anyio, pathlib, sys
from foxapi_async.bulk.record.task_locks import TaskLocks
async def main():
    async with TaskLocks(pathlib.Path(sys.argv[1])).held("task-1"):
        print("held", flush=True)
        sys.stdin.read()
anyio.run(main)
"""


async def is_held(path: Path, task_id: str) -> bool:
    locks = TaskLocks(path)
    try:
        with anyio.move_on_after(0):
            async with locks.held(task_id):
                return False
        return True
    finally:
        locks.close()


def test_a_lock_keeps_out_other_processes_until_its_process_ends(tmp_path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert anyio.run(is_held, path, "task-1")
        assert not anyio.run(is_held, path, "task-2")
        holder.kill()
    assert not anyio.run(is_held, path, "task-1")


async def test_a_lock_keeps_out_other_runs_of_the_process(tmp_path):
    path = tmp_path / "lock"
    first = TaskLocks(path)
    async with first.held("task-1"):
        # Opening and closing the file must not release the lock.
        assert await is_held(path, "task-1")
        assert await is_held(path, "task-1")
        assert not await is_held(path, "task-2")
    assert not await is_held(path, "task-1")
    first.close()


async def test_a_waiter_gets_the_lock_when_it_is_free(tmp_path):
    locks, order = TaskLocks(tmp_path / "lock"), []

    async def hold(name: str) -> None:
        async with locks.held("task-1"):
            order.append(name)
            await anyio.sleep(0.2)
            order.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(hold, "a")
        group.start_soon(hold, "b")
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])
    locks.close()


def test_a_file_that_cannot_be_created_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        TaskLocks(tmp_path / "missing" / "lock")
