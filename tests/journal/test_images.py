"""The images of all submissions are counted, whatever became of their entries."""

from __future__ import annotations

from foxapi_async.errors import BadRequestError
from foxapi_async.journal import Claim, StoredJournal
from foxapi_async.models import TaskStatus
from foxapi_async.phota import PhotaImage
from tests.journals import another

TWO = PhotaImage("a fox", num_outputs=2)


async def again(journal: StoredJournal, key: str) -> Claim:
    """Claim a failed or unknown key again."""
    journal.resubmit(journal.find([key])[key])
    return await journal.claim(key, TWO)


async def test_each_task_counts_once_and_each_doubt_once(journal: StoredJournal):
    assert journal.images() == (0, 0)
    async with journal:
        claims = {key: await journal.claim(key, TWO) for key in "abcde"}
        assert journal.images() == (0, 0)
        for claim in claims.values():
            await claim.sending()
        assert journal.images() == (0, 10)
        await claims["a"].accepted("t-a")
        await claims["b"].accepted("t-b")
        await claims["c"].rejected(BadRequestError("no", status=400))
        await claims["d"].unknown("cut off")
        await claims["e"].not_sent("no connection")
        assert journal.images() == (4, 2)
        journal.ended("t-a", TaskStatus.COMPLETED)
        journal.ended("t-b", TaskStatus.FAILED)
        assert journal.images() == (4, 2)

        # A failed task that is submitted again was billed all the same.
        retried = await again(journal, "b")
        assert journal.images() == (4, 2)
        await retried.sending()
        assert journal.images() == (4, 4)
        await retried.postponed("429")
        assert journal.images() == (4, 2)
        await retried.sending()
        await retried.accepted("t-b2")
        assert journal.images() == (6, 2)

        # A doubt is not removed by a second submission.
        retried = await again(journal, "d")
        await retried.sending()
        await retried.rejected(BadRequestError("no", status=400))
        assert journal.images() == (6, 2)
        retried = await again(journal, "d")
        await retried.sending()
        await retried.accepted("t-d")
        assert journal.images() == (8, 2)

        for key in "ac":
            journal.forget(key)
        assert journal.images() == (8, 2)
        claim = await journal.claim("a", TWO)
        await claim.sending()
        await claim.accepted("t-a2")
    assert another(journal).images() == (10, 2)


async def test_a_resolved_doubt_is_a_task(journal: StoredJournal):
    async with journal:
        claim = await journal.claim("a", TWO)
        await claim.sending()
        await claim.unknown("cut off")
        journal.resolve("a", "task-1")
    assert journal.images() == (2, 0)


async def test_images_without_bound_are_counted(journal: StoredJournal):
    async with journal:
        for key in "ab":
            claim = await journal.claim(key, PhotaImage("a", num_outputs=2**62))
            await claim.sending()
            await claim.unknown("cut off")
        assert journal.images() == (0, 2**63)
        journal.forget("a")
    assert journal.images() == (0, 2**63)
