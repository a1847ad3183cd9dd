"""Resubmission of failed and unknown entries."""

from __future__ import annotations

import asyncio

import pytest

from foxapi_async.errors import BadRequestError, ConfigurationError, FoxAPIError
from foxapi_async.journal import Claim, Entry, StoredJournal
from foxapi_async.phota import PhotaImage
from tests.journals import another

FOX = PhotaImage("a fox")


async def doubtful(journal: StoredJournal) -> Entry:
    """Make an entry whose outcome is unknown."""
    claim = await journal.claim("k", FOX)
    await claim.sending()
    await claim.unknown("cut off")
    (entry,) = journal.entries("unknown")
    return entry


async def claim_again(journal: StoredJournal, entry: Entry) -> Claim:
    journal.resubmit(entry)
    claim = await journal.claim("k", FOX)
    assert claim.is_new
    return claim


def status(journal: StoredJournal) -> str:
    (entry,) = another(journal).entries()
    return str(entry.status)


async def test_the_entry_keeps_its_status_until_the_post_leaves(journal: StoredJournal):
    async with journal:
        claim = await claim_again(journal, await doubtful(journal))
        assert status(journal) == "unknown"
        await claim.sending()
        assert status(journal) == "sending"
        await claim.postponed("429")
        assert status(journal) == "unknown"
        await claim.sending()
        await claim.accepted("t2", 45.0)
        (entry,) = journal.entries()
        assert (entry.status, entry.task_id, entry.error) == ("accepted", "t2", None)


@pytest.mark.parametrize("sent", [True, False])
async def test_the_entry_is_restored_if_no_task_was_created(journal: StoredJournal, sent: bool):
    async with journal:
        before = await doubtful(journal)
        claim = await claim_again(journal, before)
        if sent:
            await claim.sending()
            await claim.rejected(BadRequestError("no", status=400))
        else:
            await claim.not_sent("given up")
        (after,) = journal.entries()
        assert after == before


async def test_the_entry_is_restored_if_sending_was_cancelled(journal: StoredJournal):
    async with journal:
        before = await doubtful(journal)
        claim = await claim_again(journal, before)
        sending = asyncio.ensure_future(claim.sending())
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
        await claim.not_sent("given up")
        assert journal.entries() == [before]


async def test_the_second_of_two_resubmissions_is_lost(journal: StoredJournal):
    other = another(journal)
    async with journal, other:
        entry = await doubtful(journal)
        first, second = await claim_again(journal, entry), await claim_again(other, entry)
        await first.sending()
        with pytest.raises(FoxAPIError, match="another process or task"):
            await second.sending()
        assert (first.is_lost, second.is_lost) == (False, True)
        await first.accepted("t2")
        await second.not_sent("lost")
        assert (await other.claim("k", FOX)).entry.task_id == "t2"


async def test_a_resubmission_of_a_changed_entry_has_no_effect(journal: StoredJournal):
    async with journal:
        entry = await doubtful(journal)
        claim = await claim_again(journal, entry)
        await claim.sending()
        await claim.accepted("t2")
        journal.resubmit(entry)
        assert (await journal.claim("k", FOX)).entry.task_id == "t2"
        with pytest.raises(ConfigurationError, match="only failed and unknown"):
            journal.resubmit(journal.entries()[0])


async def test_a_forgotten_key_differs_from_an_unknown_one(journal: StoredJournal):
    assert journal.is_blank()
    async with journal:
        await doubtful(journal)
    assert not journal.was_forgotten("k")
    journal.forget("k")
    assert (journal.was_forgotten("k"), journal.was_forgotten("other")) == (True, False)
    assert not journal.is_blank()


async def test_of_two_concurrent_resubmissions_the_second_waits_for_the_first(
    journal: StoredJournal,
):
    async with journal:
        entry = await doubtful(journal)
        claiming = []
        for _ in range(2):
            journal.resubmit(entry)
            claiming.append(asyncio.create_task(journal.claim("k", FOX)))
            await asyncio.sleep(0)
        first = await claiming[0]
        await first.sending()
        assert not claiming[1].done()
        await first.accepted("t2")
        second = await claiming[1]
        assert second.entry is not None
        assert second.entry.task_id == "t2"
