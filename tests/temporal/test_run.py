"""Jobs that workers carry out: in this process, and with `foxapi run --temporal`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foxapi_async import Session
from foxapi_async.bulk import Job, Result, Summary, run_job
from foxapi_async.cli import main
from foxapi_async.emulator import Drop, Fault
from foxapi_async.temporal import TemporalEngine
from tests.cli.process import KEY, environment, foxapi
from tests.temporal.server import TemporalServer
from tests.temporal.test_worker import Shop, shop

__all__ = ["shop"]

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.once, pytest.mark.much]


def write_job(folder: Path, lines: int) -> Path:
    path = folder / "jobs.jsonl"
    texts = [json.dumps({"prompt": f"fox {number}", "shelf": number}) for number in range(lines)]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


async def run(shop: Shop, job: Job, *, most: int | None = None) -> tuple[list[Result], Summary]:
    """Run a job, or leave it after so many results."""
    out = shop.folder / "out"
    engine = TemporalEngine(shop.client, out, name=job.path.name, task_queue=shop.queue)
    results: list[Result] = []
    async with (
        Session("sk-none", base_url=shop.emulator.url, journal=shop.journal) as session,
        run_job(session, job, out, engine=engine) as job_run,
    ):
        async for result in job_run:
            results.append(result)
            if len(results) == most:
                break
        return results, job_run.summary


async def test_a_run_that_is_left_is_continued_by_the_next(shop: Shop):
    job = Job.read(write_job(shop.folder, 12))
    async with shop.worker(saves=False):
        await run(shop, job, most=1)
        results, summary = await run(shop, job)
        again, _ = await run(shop, job)
    assert summary.is_done
    assert [result.own["shelf"] for result in sorted(results, key=lambda each: each.line)] == [
        *range(12)
    ]
    assert all(len(result.files) == 1 for result in results)
    assert all(result.from_journal for result in again)
    assert shop.pictures == {result.key for result in again}
    assert shop.emulator.counters.images_billed == 12
    lines = (shop.folder / "out" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["status"] for line in lines} == {"completed"}
    assert (shop.folder / "out" / "index.html").exists()


async def test_the_command_ends_with_6_while_a_line_is_unknown(
    shop: Shop, temporal: TemporalServer
):
    shop.emulator.script(Fault("submit", Drop(carried_out=True)))
    jobs = write_job(shop.folder, 5)
    command = ["run", str(jobs), "-o", str(shop.folder / "out"), "--yes", "--json"]
    command += ["--temporal", temporal.address, "--task-queue", shop.queue]
    command += ["--journal", str(shop.folder / "journal.sqlite")]
    env = environment(FOXAPI_API_KEY=KEY, FOXAPI_BASE_URL=shop.emulator.url)
    async with shop.worker(saves=False):
        first = await foxapi(*command, env=env)
        again = await foxapi(*command, env=env)
    assert (first.code, again.code) == (6, 6), first.err + again.err
    assert (first.document["completed"], first.document["unknown"]) == (4, 1)
    assert first.document["billed"] == {"outputs": 4, "outputs_unknown": 1}
    assert again.document["billed"] == {"outputs": 0, "outputs_unknown": 0}
    assert shop.emulator.counters.images_billed == 5
    assert len(shop.pictures) == 4


@pytest.mark.parametrize("option", ["--name={line}", "--outputs=3", "--max-images=9"])
def test_the_command_refuses_what_workers_cannot_do(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    jobs = write_job(tmp_path, 1)
    out = str(tmp_path / "out")
    assert main(["run", str(jobs), "-o", out, "--yes", "--temporal", "127.0.0.1:1", option]) == 2
    assert f"{option.partition('=')[0]} cannot be used with" in capsys.readouterr().err
