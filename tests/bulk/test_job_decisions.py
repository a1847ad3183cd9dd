"""Jobs when the server refuses, the journal is wrong, or a person decides about a request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from foxapi_async import (
    AuthenticationError,
    ConfigurationError,
    InsufficientQuotaError,
    Journal,
    Limits,
    Polling,
)
from foxapi_async.bulk import Job
from foxapi_async.bulk.failure_streak import LONGEST_STREAK
from foxapi_async.emulator import Call, Drop, Fate, Fault, error
from foxapi_async.emulator import text as edge_text
from tests.bulk.conftest import JobFolder

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


IMPATIENT = Polling(poll_cost=0.01, min_interval=0.03, give_up_after=1.0)


def numbered(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"p{number}", "key": f"k{number}"} for number in range(count)]


def journal_of(job_folder: JobFolder) -> Journal:
    return Journal(job_folder.out / "journal.sqlite")


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (402, InsufficientQuotaError)]
)
async def test_a_fatal_refusal_ends_the_run_with_correct_counts(
    status: int, kind: type[Exception], job_folder: JobFolder
):
    routes = ("submit", "credits", "models")
    job_folder.emulator.script(*(Fault(route, error(status), times=None) for route in routes))
    job_folder.write(*numbered(300))
    for _ in range(5):  # it used to hang sometimes
        _, summary = await job_folder.run()
        assert isinstance(summary.stopped, kind)
        assert (summary.unfinished, summary.unknown) == (0, 0)
        assert summary.rejected + summary.not_submitted == 300
    assert job_folder.emulator.counters.tasks == 0


async def test_a_run_without_an_accepted_request_keeps_that_the_balance_is_used_up(
    job_folder: JobFolder,
):
    job_folder.write(*numbered(40))
    emulator = job_folder.emulator
    emulator.script(
        Fault("submit", error(402), times=1),
        Fault("submit", error(400), times=40),
        Fault("submit", error(402), times=None),
    )
    await job_folder.run(limits=Limits(outputs=1))
    _, summary = await job_folder.run()
    assert summary.rejected == 40
    before = emulator.counters.posts
    await job_folder.run()
    assert emulator.counters.posts == before + 1


@pytest.mark.parametrize("retried", ["failed", "unknown"])
@pytest.mark.parametrize("trouble", ["the budget", "402"])
async def test_a_retry_that_was_not_sent_keeps_the_status(
    job_folder: JobFolder, retried: str, trouble: str
):
    fault = Fate(ends_as="failed") if retried == "failed" else Drop(carried_out=True)
    lines = 3  # after two submissions without an answer the session pauses for longer and longer
    job_folder.emulator.script(Fault("submit", fault, times=lines))
    job_folder.write(*numbered(lines))
    await job_folder.run()
    entries = journal_of(job_folder).entries(retried)
    assert len(entries) == job_folder.emulator.counters.tasks == lines
    limits = Limits(outputs=1, total_outputs=2 if trouble == "the budget" else None)
    if trouble == "402":
        job_folder.emulator.script(Fault("submit", error(402), nth=3, times=None))
    await job_folder.run(limits=limits, **{f"retry_{retried}": True})
    assert job_folder.emulator.counters.tasks == lines + 2
    assert len(journal_of(job_folder).entries(retried)) == lines - 2
    job_folder.emulator.script()
    _, summary = await job_folder.run()
    assert job_folder.emulator.counters.tasks == lines + 2
    assert summary.completed == 2
    assert getattr(summary, retried) == lines - 2


async def test_a_retry_without_a_clear_answer_is_unknown(job_folder: JobFolder):
    job_folder.emulator.script(
        Fault("submit", Fate(ends_as="failed")), Fault("submit", Drop(carried_out=True), nth=2)
    )
    job_folder.write(*numbered(1))
    await job_folder.run()
    results, _ = await job_folder.run(retry_failed=True)
    assert results["k0"].status == "unknown"
    _, summary = await job_folder.run(retry_failed=True)
    assert (summary.unknown, job_folder.emulator.counters.tasks) == (1, 2)


async def test_a_refused_retry_keeps_the_journal_entry(job_folder: JobFolder):
    job_folder.emulator.script(
        Fault("submit", Fate(ends_as="failed")), Fault("submit", error(422), nth=2)
    )
    job_folder.write(*numbered(1))
    await job_folder.run()
    (before,) = journal_of(job_folder).entries("failed")
    results, _ = await job_folder.run(retry_failed=True)
    assert results["k0"].status == "rejected"
    (after,) = journal_of(job_folder).entries("failed")
    assert (after.task_id, after.error_code, after.submitted) == (
        before.task_id,
        before.error_code,
        before.submitted,
    )


@pytest.mark.parametrize("route", ["download", "poll"])
async def test_a_run_stops_if_no_billed_task_can_be_retrieved(job_folder: JobFolder, route: str):
    effect = edge_text(410, "gone") if route == "download" else error(404)
    job_folder.emulator.script(Fault(route, effect, times=None))
    job_folder.write(*numbered(300))
    _, summary = await job_folder.run(limits=Limits(outputs=4), polling=IMPATIENT)
    assert "billed tasks that could not be retrieved" in str(summary.stopped)
    assert LONGEST_STREAK <= job_folder.emulator.counters.images_billed < 200


async def test_a_wrong_journal_bills_nothing_twice(job_folder: JobFolder, tmp_path: Path):
    job_folder.write(*numbered(5))
    await job_folder.run()
    for file in job_folder.out.glob("journal.sqlite*"):
        file.unlink()
    other = JobFolder(tmp_path / "other", job_folder.emulator)
    other.write({"prompt": "another", "key": "another"})
    await other.run()
    (other.out / "journal.sqlite").rename(job_folder.out / "journal.sqlite")
    with pytest.raises(ConfigurationError, match=r"'k0' \(line 1\) is completed"):
        await job_folder.run()
    assert job_folder.emulator.counters.tasks == 6


@pytest.mark.parametrize("status", ["failed", "unknown"])
async def test_a_lost_journal_does_not_resubmit_failed_or_unknown_requests(
    job_folder: JobFolder, status: str
):
    fault = Fate(ends_as="failed") if status == "failed" else Drop(carried_out=True)
    job_folder.emulator.script(Fault("submit", fault))
    job_folder.write(*numbered(1))
    await job_folder.run()
    for file in job_folder.out.glob("journal.sqlite*"):
        file.unlink()
    with pytest.raises(ConfigurationError, match="paid for"):
        await job_folder.run()
    assert job_folder.emulator.counters.tasks == 1


async def test_a_forgotten_key_is_submitted_again(job_folder: JobFolder):
    job_folder.write(*numbered(1))
    await job_folder.run()
    journal_of(job_folder).forget("k0")
    _, summary = await job_folder.run()
    assert (summary.is_done, job_folder.emulator.counters.tasks) == (True, 2)


async def test_a_rejected_line_can_be_corrected_under_the_same_key(job_folder: JobFolder):
    job_folder.emulator.script(Fault("submit", error(422), when=_asks("bad")))
    job_folder.write({"prompt": "bad", "key": "a"}, {"prompt": "b", "key": "b"})
    await job_folder.run()
    job_folder.write({"prompt": "good", "key": "a"}, {"prompt": "b", "key": "b"})
    assert Job.read(job_folder.path / "jobs.jsonl").plan(journal_of(job_folder)).conflicts == ()
    _, summary = await job_folder.run()
    assert (summary.is_done, job_folder.emulator.counters.tasks) == (True, 2)


def _asks(prompt: str) -> Callable[[Call], bool]:
    return lambda call: call.prompt == prompt


async def test_two_concurrent_retries_bill_once(job_folder: JobFolder):
    job_folder.emulator.script(Fault("submit", Fate(ends_as="failed"), times=30))
    job_folder.write(*numbered(30))
    await job_folder.run()
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(lambda: job_folder.run(retry_failed=True))
    assert job_folder.emulator.counters.tasks == 60
    _, summary = await job_folder.run()
    assert summary.is_done
