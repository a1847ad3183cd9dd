"""What is lost is told in words, not as Python writes its values."""

from __future__ import annotations

import pytest

from foxapi_async import PhotaImage
from foxapi_async.journal.journal import Journal
from foxapi_async.journal.operations import (
    Change,
    Claiming,
    Dropping,
    Ending,
    Move,
    Note,
    Reinstating,
    Retaking,
    Saving,
    planned,
)
from foxapi_async.journal.transitions import JournalStatus

NEW = planned("k", PhotaImage("a fox"), 1.0, keyed=True)


@pytest.fixture
async def over(tmp_path):
    async with Journal(tmp_path / "j.db") as journal:
        await journal.claim("k", PhotaImage("a fox"))
        return journal.entries()[0]


async def test_each_change_says_what_is_lost_without_it(over):
    changes: dict[str, Change] = {
        "that key 'k' is about to be submitted": Claiming(new=NEW),
        "that key 'k' is accepted as task t-1": Move(
            key=b"k",
            was=JournalStatus.SENDING,
            now=JournalStatus.ACCEPTED,
            at=1.0,
            task_id="t-1",
            new=NEW,
        ),
        "that key 'k' is unknown": Move(
            key=b"k", was=JournalStatus.SENDING, now=JournalStatus.UNKNOWN, at=1.0, new=NEW
        ),
        "that nothing was sent for key 'k'": Dropping(key=b"k"),
        "that key 'k' is about to be submitted once more": Retaking(new=NEW, over=over),
        f"that key 'k' is {over.status.value} as before": Reinstating(key=b"k", over=over),
        "that task t-1 is failed": Ending(task_id="t-1", now=JournalStatus.FAILED, at=1.0),
        "where the files of task t-1 are": Saving(task_id="t-1", files="[]", at=1.0),
        "something to remember": Note(name="n", value=None, at=1.0),
    }
    assert {words: change.in_words for words, change in changes.items()} == {
        words: words for words in changes
    }
