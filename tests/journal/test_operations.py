"""The text of an operation says in plain words what is lost if it is not written."""

from __future__ import annotations

import pytest

from foxapi_async import PhotaImage
from foxapi_async.journal import Entry, Journal, JournalStatus
from foxapi_async.journal.operations import (
    ClaimKey,
    DeleteUnsent,
    Operation,
    RecordEnd,
    RecordFiles,
    RecordValue,
    Transition,
    new_entry,
)

NEW = new_entry("k", PhotaImage("a fox"), 1.0, keyed=True)


@pytest.fixture
async def entry(tmp_path) -> Entry:
    async with Journal(tmp_path / "j.db") as journal:
        await journal.claim("k", PhotaImage("a fox"))
        return journal.entries()[0]


def transition(after: JournalStatus, **values: object) -> Transition:
    return Transition(new=NEW, before=JournalStatus.SENDING, after=after, at=1.0, **values)


async def test_each_operation_says_what_is_lost_without_it(entry: Entry):
    operations: dict[str, Operation] = {
        "key 'k' is about to be submitted": ClaimKey(new=NEW),
        "key 'k' is accepted as task t-1": transition(JournalStatus.ACCEPTED, task_id="t-1"),
        "key 'k' is unknown": transition(JournalStatus.UNKNOWN),
        "nothing was sent for key 'k'": DeleteUnsent(key=b"k"),
        "key 'k' is sending": transition(JournalStatus.SENDING, previous=entry),
        "key 'k' is planned as before": transition(JournalStatus.REJECTED, previous=entry),
        "task t-1 is failed": RecordEnd(task_id="t-1", after=JournalStatus.FAILED, at=1.0),
        "the files of task t-1 are saved": RecordFiles(task_id="t-1", files="[]", at=1.0),
        "a remembered value": RecordValue(name="n", value=None, at=1.0),
    }
    assert {text: str(operation) for text, operation in operations.items()} == {
        text: text for text in operations
    }
