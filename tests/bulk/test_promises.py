"""What a job promises when the server, the journal or the person decides otherwise than planned."""

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
from foxapi_async.bulk.brake import IN_A_ROW
from foxapi_async.emulator import Call, Drop, Fate, Fault, error
from foxapi_async.emulator import text as edge_text
from tests.bulk.conftest import Desk

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.much]


IMPATIENT = Polling(poll_cost=0.01, min_interval=0.03, give_up_after=1.0)


def numbered(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"p{number}", "key": f"k{number}"} for number in range(count)]


def journal_of(desk: Desk) -> Journal:
    return Journal(desk.out / "journal.sqlite")


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (402, InsufficientQuotaError)]
)
async def test_a_refusal_that_ends_all_ends_the_run_and_counts_true(
    status: int, kind: type[Exception], desk: Desk
):
    desk.emulator.script(Fault("submit", error(status), times=None))
    desk.write(*numbered(300))
    for _ in range(5):  # it hung now and then
        _, summary = await desk.run()
        assert isinstance(summary.stopped, kind)
        assert (summary.unfinished, summary.unknown) == (0, 0)
        assert summary.rejected + summary.not_submitted == 300
    assert desk.emulator.counters.tasks == 0


@pytest.mark.parametrize("retried", ["failed", "unknown"])
@pytest.mark.parametrize("trouble", ["the budget", "402"])
async def test_what_was_to_be_retried_and_was_not_keeps_its_mark(
    desk: Desk, retried: str, trouble: str
):
    fault = Fate(ends_as="failed") if retried == "failed" else Drop(carried_out=True)
    desk.emulator.script(Fault("submit", fault, times=10))
    desk.write(*numbered(10))
    await desk.run()
    assert len(journal_of(desk).entries(retried)) == desk.emulator.counters.tasks == 10
    limits = Limits(outputs=1, total_outputs=2 if trouble == "the budget" else None)
    if trouble == "402":
        desk.emulator.script(Fault("submit", error(402), nth=3, times=None))
    await desk.run(limits=limits, **{f"retry_{retried}": True})
    assert desk.emulator.counters.tasks == 12
    assert len(journal_of(desk).entries(retried)) == 8
    desk.emulator.script()
    _, summary = await desk.run()
    assert desk.emulator.counters.tasks == 12
    assert summary.completed == 2
    assert getattr(summary, retried) == 8


async def test_what_is_retried_and_is_unknown_again_is_unknown(desk: Desk):
    desk.emulator.script(
        Fault("submit", Fate(ends_as="failed")), Fault("submit", Drop(carried_out=True), nth=2)
    )
    desk.write(*numbered(1))
    await desk.run()
    results, _ = await desk.run(retry_failed=True)
    assert results["k0"].status == "unknown"
    _, summary = await desk.run(retry_failed=True)
    assert (summary.unknown, desk.emulator.counters.tasks) == (1, 2)


async def test_a_refused_retry_leaves_what_was_known(desk: Desk):
    desk.emulator.script(
        Fault("submit", Fate(ends_as="failed")), Fault("submit", error(422), nth=2)
    )
    desk.write(*numbered(1))
    await desk.run()
    (before,) = journal_of(desk).entries("failed")
    results, _ = await desk.run(retry_failed=True)
    assert results["k0"].status == "rejected"
    (after,) = journal_of(desk).entries("failed")
    assert (after.task_id, after.error_code, after.submitted) == (
        before.task_id,
        before.error_code,
        before.submitted,
    )


@pytest.mark.parametrize("route", ["download", "poll"])
async def test_a_run_of_which_nothing_comes_home_stops_paying(desk: Desk, route: str):
    effect = edge_text(410, "gone") if route == "download" else error(404)
    desk.emulator.script(Fault(route, effect, times=None))
    desk.write(*numbered(300))
    _, summary = await desk.run(limits=Limits(outputs=4), polling=IMPATIENT)
    assert "did not come home" in str(summary.stopped)
    assert IN_A_ROW <= desk.emulator.counters.images_billed < 200


async def test_a_wrong_journal_pays_for_nothing_that_was_paid_for(desk: Desk, tmp_path: Path):
    desk.write(*numbered(5))
    await desk.run()
    for file in desk.out.glob("journal.sqlite*"):
        file.unlink()
    other = Desk(tmp_path / "other", desk.emulator)
    other.write({"prompt": "another", "key": "another"})
    await other.run()
    (other.out / "journal.sqlite").rename(desk.out / "journal.sqlite")
    with pytest.raises(ConfigurationError, match=r"'k0' \(line 1\) is completed"):
        await desk.run()
    assert desk.emulator.counters.tasks == 6


@pytest.mark.parametrize("status", ["failed", "unknown"])
async def test_a_journal_that_was_lost_takes_no_mark_along(desk: Desk, status: str):
    fault = Fate(ends_as="failed") if status == "failed" else Drop(carried_out=True)
    desk.emulator.script(Fault("submit", fault))
    desk.write(*numbered(1))
    await desk.run()
    for file in desk.out.glob("journal.sqlite*"):
        file.unlink()
    with pytest.raises(ConfigurationError, match="paid for"):
        await desk.run()
    assert desk.emulator.counters.tasks == 1


async def test_what_a_person_has_forgotten_is_submitted_again(desk: Desk):
    desk.write(*numbered(1))
    await desk.run()
    journal_of(desk).forget("k0")
    _, summary = await desk.run()
    assert (summary.is_done, desk.emulator.counters.tasks) == (True, 2)


async def test_a_rejected_line_may_be_mended_under_its_own_key(desk: Desk):
    desk.emulator.script(Fault("submit", error(422), when=_asks("bad")))
    desk.write({"prompt": "bad", "key": "a"}, {"prompt": "b", "key": "b"})
    await desk.run()
    desk.write({"prompt": "good", "key": "a"}, {"prompt": "b", "key": "b"})
    assert Job.read(desk.folder / "jobs.jsonl").plan(journal_of(desk)).conflicts == ()
    _, summary = await desk.run()
    assert (summary.is_done, desk.emulator.counters.tasks) == (True, 2)


def _asks(prompt: str) -> Callable[[Call], bool]:
    return lambda call: call.prompt == prompt


async def test_two_who_retry_at_once_pay_once(desk: Desk):
    desk.emulator.script(Fault("submit", Fate(ends_as="failed"), times=30))
    desk.write(*numbered(30))
    await desk.run()
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(lambda: desk.run(retry_failed=True))
    assert desk.emulator.counters.tasks == 60
    _, summary = await desk.run()
    assert summary.is_done
