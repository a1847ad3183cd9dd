"""Jobs with a journal on a PostgreSQL server: outages, kills, two machines, and no password anywhere."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import anyio
import pytest

from foxapi_async.bulk import RunLog
from foxapi_async.emulator import Delay, Fault, Hang
from foxapi_async.journal import PostgresJournal
from tests.cli.process import Done, foxapi, running, together, until
from tests.postgres_server import PostgresServer

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.once]

JOBS = 24


@pytest.fixture
def address(postgres: PostgresServer) -> str:
    """With a password."""
    return f"{postgres.dsn}#{uuid.uuid4().hex}"


def write_jobs(folder: Path, lines: int = JOBS) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "jobs.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(lines)))
    return str(path)


def shown(address: str) -> str:
    return address.replace(":secret", "")


def assert_no_password(folder: Path, *ends: Done) -> None:
    told = [text for end in ends for text in (end.out, end.err)]
    for path in folder.rglob("*"):
        told += [path.read_text(errors="replace")] if path.is_file() else []
    assert not [text for text in told if "secret" in text]


async def test_a_run_outlives_a_restart_and_another_machine_takes_over_after_a_kill(
    emulated, postgres: PostgresServer, address: str, tmp_path: Path
):
    here, there = tmp_path / "here", tmp_path / "there"
    first = ["run", write_jobs(here), "-o", str(here / "out"), "--yes", "--outputs", "4"]
    second = ["run", write_jobs(there), "-o", str(there / "out"), "--yes", "--no-sheet", "--json"]
    second += ["--journal", shown(address)]
    async with emulated(duration=0.1) as (emulator, env):
        secret = env | {"FOXAPI_JOURNAL": address}
        emulator.script(
            Fault("submit", Hang(carried_out=True), when=lambda call: call.prompt == "p12")
        )
        async with running(*first, env=secret) as command:
            await until(lambda: emulator.counters.tasks >= 4)
            await anyio.to_thread.run_sync(postgres.stop)
            try:
                await command.says("submissions pause until it can be written again")
            finally:
                await anyio.to_thread.run_sync(postgres.start)
            await until(lambda: emulator.counters.tasks >= 16)
            command.process.kill()
            command.process.wait()
            killed = await command.end()
        emulator.faults.clear()
        resumed = await foxapi(*second, env=env | {"PGPASSWORD": "secret"})
        again = await foxapi(*second, env=env | {"PGPASSWORD": "secret"})
        listed = await foxapi("unknown", str(there / "out"), "--json", env=secret)
        assert emulator.counters.images_billed <= JOBS
        ids = {view.prompt: task_id for task_id, view in emulator.tasks.items()}
        assert (resumed.code, again.code, listed.code) == (6, 6, 6)
        assert (resumed.document["unknown"], again.document["billed"]["outputs"]) == (
            len(listed.document["unknown"]),
            0,
        )
        prompts = [each["prompt"] for each in listed.document["unknown"]]
        assert "p12" in prompts
        assert resumed.document["completed"] == JOBS - len(prompts)
        assert resumed.document["journal"] == shown(address)
        journal = PostgresJournal(postgres.dsn, name=address.partition("#")[2])
        for each in listed.document["unknown"]:
            journal.resolve(each["key"], ids[each["prompt"]])
        last = await foxapi(*second, env=secret)
        assert (last.code, last.document["completed"]) == (0, JOBS)
        assert emulator.counters.images_billed == JOBS
    (record, *_) = RunLog(there / "out").runs()
    assert record.journal == shown(address)
    assert_no_password(tmp_path, killed, resumed, again, listed, last)


async def test_two_machines_bill_each_line_once_and_both_have_the_files(
    emulated, address: str, tmp_path: Path
):
    async with emulated() as (emulator, env):
        secret = env | {"FOXAPI_JOURNAL": address}

        def machine(name: str):
            folder = tmp_path / name
            jobs = write_jobs(folder, 12)
            return lambda: foxapi("run", jobs, "-o", str(folder / "out"), "--yes", env=secret)

        ends = await together(machine("a"), machine("b"))
        assert [end.code for end in ends] == [0, 0]
        assert (emulator.counters.tasks, emulator.counters.downloads) == (12, 24)
        status = await foxapi("status", str(tmp_path / "a" / "out"), env=secret)
        report = await foxapi("report", str(tmp_path / "b" / "out"), "--json", env=secret)
    assert f"journal    {shown(address)}: 12 saved" in status.lines
    assert report.document["statuses"] == {"completed": 12}
    for name in ("a", "b"):
        assert len(list((tmp_path / name / "out").glob("*.png"))) == 12
    assert_no_password(tmp_path, *ends, status, report)


async def test_ids_that_could_not_be_written_are_told_before_a_run_ends(
    emulated, postgres: PostgresServer, address: str, tmp_path: Path
):
    run = ["run", write_jobs(tmp_path, 2), "-o", str(tmp_path / "out"), "--yes"]
    async with emulated() as (emulator, env):
        secret = env | {"FOXAPI_JOURNAL": address}
        emulator.script(Fault("submit", Delay(1.0, carried_out=True), times=None))
        async with running(*run, "--grace", "0.5s", env=secret) as command:
            await until(lambda: emulator.counters.tasks == 2)
            await anyio.to_thread.run_sync(postgres.stop)
            try:
                await command.says("submissions pause until it can be written again")
                command.interrupt()
                done = await command.end()
            finally:
                await anyio.to_thread.run_sync(postgres.start)
        assert [id_ for id_ in emulator.tasks if id_ not in done.err] == []
        assert emulator.counters.tasks == 2
    assert done.code == 6


async def test_a_folder_keeps_its_journal(
    emulated, postgres: PostgresServer, address: str, tmp_path: Path
):
    run = ["run", write_jobs(tmp_path, 2), "-o", str(tmp_path / "out"), "--yes"]
    async with emulated() as (emulator, env):
        secret = env | {"FOXAPI_JOURNAL": address}
        first = await foxapi(*run, env=env)
        refused = await foxapi(*run, env=secret)
        none = await foxapi("unknown", str(tmp_path / "out"), env=secret)
        assert (first.code, refused.code, none.code) == (0, 3, 0)
        assert "choose with --journal" in refused.err
        assert f"no request of {tmp_path}/out/journal.sqlite is unknown" in none.err
        assert emulator.counters.tasks == 2
    assert PostgresJournal(postgres.dsn, name=address.partition("#")[2]).is_blank()
