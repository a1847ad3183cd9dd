"""An unknown entry is settled by hand."""

from __future__ import annotations

import pytest

from foxapi_async.errors import InvalidRequestError, SubmissionUnknownError
from foxapi_async.journal import StoredJournal
from foxapi_async.phota import PhotaImage
from tests.journal.test_processes import worker
from tests.journals import another


async def fill(journal: StoredJournal, request: PhotaImage) -> None:
    """Write an unknown entry, and one of each other kind."""
    said = SubmissionUnknownError(
        "no id", request=request, response='{"odd": "\\ud83e"}' + "x" * 9000
    )
    for key, end in {
        "unknown": lambda claim: claim.unknown(said),
        "accepted": lambda claim: claim.accepted("task-1", 5.0),
        "rejected": lambda claim: claim.rejected("400"),
        "planned": lambda claim: claim.postponed("429"),
    }.items():
        claim = await journal.claim(key, request)
        await claim.sending()
        await end(claim)
        if key == "planned":
            await claim.not_sent("stopped")


async def test_an_unknown_entry_gets_its_task(journal: StoredJournal, request_: PhotaImage):
    async with journal:
        await fill(journal, request_)
        [before] = journal.entries("unknown")
        assert before.response is not None
        assert len(before.response) > 9000
        entry = journal.resolve("unknown", "task-unified-1760000000-k3v9x2ab")
        assert (entry.status, entry.task_id) == ("accepted", "task-unified-1760000000-k3v9x2ab")
        assert (entry.error, entry.error_code, entry.response) == (None, None, None)
        assert entry.submitted == before.updated
        assert entry.updated >= before.updated
        claim = await journal.claim("unknown", request_)
        assert claim.entry == entry
        assert {each.key for each in journal.unfinished()} == {"accepted", "unknown"}


async def test_what_cannot_be_resolved_is_refused(journal: StoredJournal, request_: PhotaImage):
    with pytest.raises(InvalidRequestError, match="there is no journal"):
        journal.resolve("k", "task-2")
    async with journal:
        await fill(journal, request_)
        before = journal.entries()
        for key, task_id, reason in [
            ("nobody", "task-2", "no entry of the key 'nobody'"),
            ("accepted", "task-2", "is accepted, task task-1"),
            ("accepted", "task-1", "is accepted, task task-1"),
            ("rejected", "task-2", "is rejected"),
            ("planned", "task-2", "is planned"),
            ("unknown", "task-1", "task-1 belongs to the key 'accepted'"),
            ("unknown", "../tasks", "task_id is '../tasks'"),
            ("unknown", "", "task_id is ''"),
            ("unknown", None, "task_id is None"),
        ]:
            with pytest.raises(InvalidRequestError, match=reason):
                journal.resolve(key, task_id)
        assert journal.entries() == before


def test_an_entry_that_a_killed_process_was_sending_can_be_resolved(
    journal_address: str, journal: StoredJournal
):
    with worker("hold", journal_address, "k", "sending") as process:
        with pytest.raises(InvalidRequestError, match="is sending"):
            journal.resolve("k", "task-2")
        process.kill()
        process.wait()
        assert another(journal).resolve("k", "task-2").task_id == "task-2"


async def test_a_resubmission_does_not_replace_what_was_resolved_meanwhile(
    journal: StoredJournal, request_: PhotaImage
):
    async with journal:
        await fill(journal, request_)
        [entry] = journal.entries("unknown")
        journal.resubmit(entry)
        claim = await journal.claim("unknown", request_)
        another(journal).resolve("unknown", "task-2")
        with pytest.raises(Exception, match="Claim the key again"):
            await claim.sending()
        assert claim.is_lost
        await claim.not_sent("lost")
        assert journal.find(["unknown"])["unknown"].task_id == "task-2"


async def test_a_late_id_does_not_replace_the_one_that_was_given(
    journal: StoredJournal, request_: PhotaImage
):
    async with journal:
        await fill(journal, request_)
        journal.resolve("unknown", "task-2")
        with pytest.raises(InvalidRequestError, match="is accepted, task task-2"):
            journal.resolve("unknown", "task-3")
        assert await journal.has_task("task-2")
        assert not await journal.has_task("task-3")
