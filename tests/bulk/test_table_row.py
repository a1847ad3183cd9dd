"""A row of the table: the journal decides on the status, and the log adds what it knows of the same task."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import PhotaImage
from foxapi_async.bulk import JobLine
from foxapi_async.bulk.table.table_row import TableRow, status_of
from foxapi_async.journal import Entry, JournalStatus, SavedFile

REQUEST = PhotaImage("fox", num_outputs=2)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def entry(status: JournalStatus, **fields: Any) -> Entry:
    return Entry(
        key="k",
        status=status,
        model="phota-image",
        kind="image",
        path="/v1/images/generations",
        payload=REQUEST.payload(),
        num_outputs=2,
        created=NOW,
        updated=NOW,
        **fields,
    )


def row(told: dict[str, Any] | None, known: Entry | None, line: JobLine | None = None) -> TableRow:
    return TableRow.of("k", job=None, line=line, told=told, entry=known)


STATUSES = ["completed", "unsaved", "failed", "unfinished", "rejected", "unknown", "not_submitted"]


@pytest.mark.parametrize(
    ("known", "told", "status"),
    [
        (None, None, "not_submitted"),
        (None, "rejected", "rejected"),
        (JournalStatus.PLANNED, None, "not_submitted"),
        (JournalStatus.REJECTED, "rejected", "rejected"),
        (JournalStatus.ACCEPTED, "unknown", "unfinished"),
        (JournalStatus.ACCEPTED, "failed", "unfinished"),
        (JournalStatus.COMPLETED, "unsaved", "unsaved"),
        (JournalStatus.COMPLETED, "failed", "unfinished"),
        (JournalStatus.SAVED, "unsaved", "unsaved"),
        (JournalStatus.SAVED, None, "completed"),
        (JournalStatus.SENDING, None, "unfinished"),
        (JournalStatus.UNKNOWN, None, "unknown"),
        (JournalStatus.FAILED, "unknown", "failed"),
    ],
)
def test_the_journal_decides_on_the_status(known, told, status):
    assert status_of(told, None if known is None else entry(known)) == status


@given(st.sampled_from(JournalStatus), st.sampled_from([*STATUSES, None, 3, "new word"]))
def test_every_status_is_one_of_a_result(known: JournalStatus, told: object):
    assert status_of(told, entry(known)) in STATUSES


def test_the_log_of_another_task_is_out_of_date():
    told = {"key": "k", "line": 3, "status": "failed", "task_id": "old", "seconds": 9, "job": "j",
            "error": {"code": "c", "message": "m"}}  # fmt: skip
    found = row(told, entry(JournalStatus.ACCEPTED, task_id="new"))
    assert (found.status, found.task_id, found.seconds, found.error) == (
        *("unfinished", "new", None, None),
    )
    assert (found.line, found.job, found.outputs) == (3, "j", 2)
    again = row(told, entry(JournalStatus.FAILED, task_id="old", error="other"))
    assert (again.status, again.error_code, again.error, again.seconds) == ("failed", "c", "m", 9)


def test_files_and_columns_come_from_who_knows_them():
    file = SavedFile("./a/k.png", 1, "0", 0)
    line = JobLine(5, "k", REQUEST, {"category": "x"})
    found = row(None, entry(JournalStatus.SAVED, task_id="t", files=(file,)), line)
    assert (found.files, found.images, found.line, found.own) == (
        *(("a/k.png",), 1, 5, {"category": "x"}),
    )
    told = {"key": "k", "status": "completed", "line": 2, "own": {"c": 1}, "task_id": "t",
            "num_outputs": 4, "model": "m", "prompt": "p", "credits": float("nan")}  # fmt: skip
    alone = row(told, None)
    assert (alone.own, alone.outputs, alone.model, alone.prompt, alone.credits) == (
        *({"c": 1}, 4, "m", "p", None),
    )
