"""Claims: which caller gets a key, and what the other callers get."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from foxapi_async.errors import (
    BadRequestError,
    ConfigurationError,
    FoxAPIError,
    InvalidRequestError,
    SubmissionUnknownError,
)
from foxapi_async.journal import Claim, Journal, JournalStatus, SavedFile, StoredJournal
from foxapi_async.journal.transitions import ForbiddenTransitionError
from foxapi_async.journal.writer import Writer
from foxapi_async.models import TaskError, TaskStatus
from foxapi_async.phota import PhotaImage
from foxapi_async.requests import GenerationRequest
from tests.journals import another

OTHER = PhotaImage("something else")


async def accept(journal: StoredJournal, key: str, request: PhotaImage, task_id: str) -> None:
    claim = await journal.claim(key, request)
    assert claim.is_new
    await claim.sending()
    await claim.accepted(task_id, 45.0)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0.01)


async def test_a_new_key_is_new_and_is_on_disk_as_planned(journal, request_):
    async with journal:
        claim = await journal.claim("k", request_)
        assert claim.is_new
        assert claim.entry is None
        (entry,) = another(journal).entries()
        assert (entry.key, entry.status, entry.request) == ("k", "planned", request_)
        await claim.not_sent("done")


async def test_each_step_is_on_disk_before_it_returns(journal, request_):
    def on_disk() -> str:
        return another(journal).entries()[0].status

    async with journal:
        claim = await journal.claim("k", request_)
        await claim.sending()
        assert on_disk() == "sending"
        await claim.postponed("429")
        assert on_disk() == "planned"
        await claim.sending()
        await claim.accepted("t1", 45.0)
        assert on_disk() == "accepted"
        await journal.saved("t1", [SavedFile("a.png", 5, "ab", 0)])
        assert on_disk() == "saved"


async def test_a_known_key_gives_its_task(journal, request_):
    async with journal:
        await accept(journal, "k", request_, "t1")
        claim = await journal.claim("k", PhotaImage(request_.prompt, num_outputs=2))
        assert not claim.is_new
        entry = claim.entry
        assert (entry.status, entry.task_id, entry.estimated_time) == ("accepted", "t1", 45.0)
        assert entry.num_outputs == 2
        assert entry.submitted.tzinfo is not None


@pytest.mark.parametrize(
    ("status", "stored"),
    [
        (TaskStatus.COMPLETED, "completed"),
        (TaskStatus.FAILED, "failed"),
        (TaskStatus.CANCELLED, "failed"),
    ],
)
async def test_a_key_keeps_its_task_after_the_task_has_ended(
    journal: StoredJournal, request_, status: TaskStatus, stored: str
):
    async with journal:
        await accept(journal, "k", request_, "t1")
        journal.ended("t1", status)
        claim = await journal.claim("k", request_)
        assert (claim.status, claim.entry.task_id) == (stored, "t1")


async def test_the_error_of_a_failed_task_is_kept(journal, request_):
    async with journal:
        await accept(journal, "k", request_, "t1")
        await accept(journal, "c", request_, "t2")
        journal.ended("t1", TaskStatus.FAILED, error=TaskError("nsfw", "no \ud800", "x"))
        journal.ended("t2", TaskStatus.CANCELLED)
        failed, cancelled = journal.entries("failed")
        assert (failed.error_code, failed.error) == ("nsfw", "no \\ud800")
        assert cancelled.error_code == "cancelled"


async def test_the_first_end_of_a_task_counts(journal, request_):
    async with journal:
        await accept(journal, "k", request_, "t1")
        journal.ended("t1", TaskStatus.COMPLETED)
        journal.ended("t1", TaskStatus.FAILED)
        journal.ended("t1", TaskStatus.FAILED)
        assert journal.entries()[0].status == "completed"
        journal.ended("t1", TaskStatus.FAILED)
        assert journal.entries()[0].status == "completed"


async def test_files_that_are_downloaded_again_replace_the_old_ones(journal, request_):
    async with journal:
        await accept(journal, "k", request_, "t1")
        journal.ended("t1", TaskStatus.COMPLETED)
        await journal.saved("t1", [SavedFile("a.png", 5, "ab", 0)])
        again = SavedFile("b.png", 6, "cd", 0)
        await journal.saved("t1", [again])
        assert journal.entries("saved")[0].files == (again,)


async def test_a_failed_task_cannot_be_saved(journal, request_):
    async with journal:
        await accept(journal, "k", request_, "t1")
        journal.ended("t1", TaskStatus.FAILED)
        await journal.saved("t1", [])
        assert journal.entries()[0].status == "failed"


async def test_tasks_without_an_entry_are_ignored(journal, request_):
    async with journal:
        journal.ended("nobody's", TaskStatus.COMPLETED)
        await journal.saved("nobody's", [])
        assert journal.entries() == []


async def test_a_key_reused_for_another_request_is_refused_and_says_how_it_differs(
    journal, request_
):
    async with journal:
        await accept(journal, "k", request_, "t1")
        with pytest.raises(InvalidRequestError, match="num_outputs 2 → 1") as caught:
            await journal.claim("k", OTHER)
        assert (caught.value.field, caught.value.value) == ("key", "k")
        claim = await journal.claim("w", request_)
        with pytest.raises(InvalidRequestError, match="something else"):
            await journal.claim("w", OTHER)
        with pytest.raises(InvalidRequestError, match="path"):
            await journal.claim("w", GenerationRequest("m", {}, path="/v2/x"))
        await claim.not_sent("done")
        with pytest.raises(InvalidRequestError, match=r"journal.forget\('w'\)"):
            await journal.claim("w", OTHER)


async def test_a_rejected_request_may_be_submitted_again(journal, request_):
    async with journal:
        claim = await journal.claim("k", request_)
        await claim.sending()
        error = BadRequestError("no such size", status=400, code="bad_size")
        await claim.rejected(error)
        (entry,) = journal.entries("rejected")
        assert (entry.error_code, entry.error) == ("bad_size", "no such size")
        again = await journal.claim("k", request_)
        assert again.is_new
        assert journal.entries()[0].error is None
        await again.not_sent("enough")


async def test_an_unknown_outcome_blocks_the_key_until_it_is_forgotten(journal, request_):
    async with journal:
        claim = await journal.claim("k", request_)
        await claim.sending()
        await claim.unknown(TimeoutError())
        with pytest.raises(SubmissionUnknownError, match="TimeoutError") as caught:
            await journal.claim("k", request_)
        assert (caught.value.key, caught.value.request) == ("k", request_)
        (forgotten,) = journal.forget("k")
        assert forgotten.status is JournalStatus.UNKNOWN
        assert journal.forget("k") == []
        again = await journal.claim("k", OTHER)
        assert again.is_new
        await again.not_sent("enough")


async def test_concurrent_claims_of_a_key_give_one_submission_and_its_task_to_the_others(
    journal, request_
):
    got: list[Claim] = []

    async def ask() -> None:
        claim = await journal.claim("k", request_)
        got.append(claim)
        if claim.is_new:
            await claim.sending()
            await anyio.sleep(60)
            await claim.accepted("t1")

    async with journal, anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
    assert [claim.is_new for claim in got] == [True] + [False] * 49
    assert {claim.entry.task_id for claim in got[1:]} == {"t1"}


@pytest.mark.parametrize("how", ["not_sent", "rejected"])
async def test_the_next_claim_submits_if_the_first_did_not(journal, request_, how: str):
    async with journal:
        first = await journal.claim("k", request_)
        async with anyio.create_task_group() as group:
            seconds: list[Claim] = []

            async def second() -> None:
                claim = await journal.claim("k", request_)
                seconds.append(claim)
                if claim.is_new:
                    await claim.sending()
                    await claim.accepted("t2")

            group.start_soon(second)
            group.start_soon(second)
            await settled()
            assert seconds == []
            await first.sending()
            await getattr(first, how)("no room")
        assert sorted(claim.is_new for claim in seconds) == [False, True]
    assert [entry.task_id for entry in journal.entries()] == ["t2"]


async def test_waiting_claims_fail_if_the_submission_is_unknown(journal, request_):
    async with journal:
        first = await journal.claim("k", request_)
        errors: list[SubmissionUnknownError] = []

        async def second() -> None:
            try:
                await journal.claim("k", request_)
            except SubmissionUnknownError as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(second)
            await settled()
            await first.sending()
            await first.unknown("reset")
        assert len(errors) == 3


async def test_leaving_a_claim_without_a_result_releases_it(journal, request_):
    async with journal:
        async with await journal.claim("planned", request_):
            pass
        with pytest.raises(ValueError, match="boom"):  # noqa: PT012 - what is left by an exception
            async with await journal.claim("sending", request_) as claim:
                await claim.sending()
                raise ValueError("boom")
        async with await journal.claim("accepted", request_) as claim:
            await claim.sending()
            await claim.accepted("t1")
        statuses = {entry.key: (entry.status, entry.error) for entry in journal.entries()}
        assert statuses == {
            "planned": ("planned", "the claim was left without a result"),
            "sending": ("unknown", "boom"),
            "accepted": ("accepted", None),
        }
        again = await journal.claim("planned", request_)
        assert again.is_new
        await again.not_sent("enough")


async def test_a_cancelled_claim_releases_the_key(journal, request_):
    async def ask() -> None:
        async with await journal.claim("k", request_):
            pass

    async with journal:
        for steps in range(40):
            asking = asyncio.create_task(ask())
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            with anyio.fail_after(5):
                claim = await journal.claim("k", request_)
                assert claim.is_new
                await claim.not_sent("only asked")
            await asyncio.wait([asking])
    assert [entry.status for entry in journal.entries()] == ["planned"]


async def test_a_claim_that_is_cancelled_as_it_succeeds_releases_the_key(
    journal, request_, monkeypatch
):
    async with journal:
        asking = asyncio.create_task(journal.claim("k", request_))
        tell = Writer._report

        def tell_and_cancel(self, group, error):
            tell(self, group, error)
            asking.cancel()

        with monkeypatch.context() as patch:
            patch.setattr(Writer, "_report", tell_and_cancel)
            await asyncio.wait([asking])
        assert asking.cancelled()
        async with another(journal) as other:
            with anyio.fail_after(5):
                claim = await other.claim("k", request_)
            assert claim.is_new
            await claim.not_sent("only asked")


async def test_a_cancelled_step_is_recorded_in_order(journal, request_):
    async with journal:
        claim = await journal.claim("k", request_)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await claim.sending()
        assert scope.cancelled_caught
        with anyio.fail_after(5):
            await claim.not_sent("cancelled before it left")
            again = await journal.claim("k", request_)
        assert again.is_new
        await again.sending()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await again.accepted("t1")
        assert scope.cancelled_caught
        with anyio.fail_after(5):
            assert (await journal.claim("k", request_)).entry.task_id == "t1"


async def test_steps_out_of_order_raise(journal, request_):
    async with journal:
        claim = await journal.claim("k", request_)
        with pytest.raises(ForbiddenTransitionError):
            await claim.accepted("t1")
        await claim.sending()
        await claim.accepted("t1")
        with pytest.raises(ForbiddenTransitionError):
            await claim.not_sent("too late")
        with pytest.raises(ForbiddenTransitionError):
            await (await journal.claim("k", request_)).sending()


async def test_without_a_key_a_random_one_is_recorded(journal, request_):
    async with journal:
        first = await journal.claim(None, request_)
        second = await journal.claim(None, request_)
        assert first.key != second.key
        for claim in (first, second):
            await claim.sending()
            await claim.accepted(f"task of {claim.key}")
        assert [entry.key for entry in journal.unfinished()] == [first.key, second.key]
        assert not journal.unfinished()[0].keyed
        known = await journal.claim(first.key, request_)
        assert known.entry.task_id == f"task of {first.key}"


async def test_an_unsent_submission_with_a_random_key_is_deleted(journal, request_):
    async with journal:
        claim = await journal.claim(None, request_)
        await claim.not_sent("no room")
        claim = await journal.claim(None, request_)
        await claim.sending()
        await claim.not_sent("refused connection")
    assert journal.entries() == []


async def test_a_claim_of_a_random_key_waits_for_its_submission(journal, request_):
    async with journal:
        claim = await journal.claim(None, request_)
        await claim.sending()
        asking = asyncio.create_task(journal.claim(claim.key, request_))
        await settled()
        assert not asking.done()
        await claim.accepted("t1")
        assert (await asking).entry.task_id == "t1"


@pytest.mark.parametrize("key", [7, b"k", 1.5, ("k",)])
async def test_a_key_must_be_a_str(journal, request_, key: object):
    async with journal:
        with pytest.raises(InvalidRequestError, match="key is"):
            await journal.claim(key, request_)  # type: ignore[arg-type]


HOSTILE = [
    "",
    "x" * 3000,
    "\U0001f98a",
    "a\x00b",
    "a\x00c",
    "\ud800",
    "../../x",
    "'; DROP TABLE",
    "é",
    "e\u0301",
]


async def test_unusual_keys_are_stored_and_found(journal, request_):
    async with journal:
        for number, key in enumerate(HOSTILE):
            await accept(journal, key, request_, f"t{number}")
        for number, key in enumerate(HOSTILE):
            assert (await journal.claim(key, request_)).entry.task_id == f"t{number}"
        assert [entry.key for entry in journal.entries()] == HOSTILE
        assert set(journal.find(HOSTILE)) == set(HOSTILE)
        for key in HOSTILE:
            assert len(journal.forget(key)) == 1
        assert journal.entries() == []


async def test_a_claim_needs_an_open_journal(journal, request_):
    with pytest.raises(ConfigurationError, match="not open"):
        await journal.claim("k", request_)


async def test_an_entry_cannot_be_forgotten_while_it_is_submitted(journal, request_):
    async with journal:
        claim = await journal.claim("k", request_)
        with pytest.raises(ConfigurationError, match="right now"):
            journal.forget("k")
        await claim.sending()
        with pytest.raises(ConfigurationError, match="right now"):
            another(journal).forget("k")
        await claim.accepted("t1")
        assert journal.forget("k")[0].task_id == "t1"


async def test_a_claim_waits_for_a_claim_of_another_journal_object(journal, request_):
    async with journal as one, another(journal) as two:
        claim = await one.claim("k", request_)
        await claim.sending()
        got: list[Claim] = []

        async def ask() -> None:
            got.append(await two.claim("k", request_))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.sleep(3)
            assert got == []
            with pytest.raises(InvalidRequestError):
                await two.claim("k", OTHER)
            await claim.accepted("t1")
        assert [c.entry.task_id for c in got] == ["t1"]


async def test_a_refused_claim_of_a_key_never_refuses_the_rightful_one(journal, request_):
    async with journal as one, another(journal) as two:
        claim = await one.claim("k", request_)
        await claim.sending()
        # The claim for another request asks the file first; the rightful one comes meanwhile.
        refused = asyncio.ensure_future(two.claim("k", OTHER))
        await asyncio.sleep(0)
        rightful = asyncio.ensure_future(two.claim("k", request_))
        with pytest.raises(InvalidRequestError):
            await refused
        await claim.accepted("t1")
        assert (await rightful).entry.task_id == "t1"


async def test_a_task_id_is_kept_if_another_program_has_changed_the_entry(path, request_):
    import sqlite3  # noqa: PLC0415

    async with Journal(path) as journal:
        removed = await journal.claim("removed", request_)
        changed = await journal.claim("changed", request_)
        stolen = await journal.claim("stolen", request_)
        refused = await journal.claim("refused", request_)
        for claim in (removed, changed, stolen):
            await claim.sending()
        with sqlite3.connect(path) as other:
            other.execute("DELETE FROM entries WHERE key = ?", (b"removed",))
            other.execute("DELETE FROM entries WHERE key = ?", (b"refused",))
            other.execute(
                "UPDATE entries SET status = 'unknown', owner = NULL WHERE key = ?", (b"changed",)
            )
            other.execute(
                "UPDATE entries SET status = 'accepted', task_id = 't0' WHERE key = ?", (b"stolen",)
            )
        other.close()
        await removed.accepted("t1", 3.0)
        await changed.accepted("t2", 4.0)
        with pytest.raises(Exception, match="t3 was also created and billed") as caught:
            await stolen.accepted("t3", 5.0)
        assert caught.value.task_id == "t3"
        with pytest.raises(FoxAPIError, match="has changed the entry of the key 'refused'"):
            await refused.sending()
        assert refused.is_lost
        await refused.not_sent("it is lost")
    found = {entry.key: (entry.status, entry.task_id) for entry in journal.entries()}
    assert found == {
        "removed": ("accepted", "t1"),
        "changed": ("accepted", "t2"),
        "stolen": ("accepted", "t0"),
    }
