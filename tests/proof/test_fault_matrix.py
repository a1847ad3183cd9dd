"""Every cell of the fault matrix: how the call ends, and that nothing is billed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path

import anyio
import pytest
from attrs import define

from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    DownloadError,
    FoxAPIError,
    InvalidResponseError,
    NotFoundError,
    OutputExpiredError,
    PhotaImage,
    Polling,
    Session,
    SubmissionUnknownError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
    Timeout,
)
from foxapi_async.emulator import Emulator
from tests.proof.__main__ import DOCUMENT, document
from tests.proof.fault_matrix import (
    COLUMNS,
    ELSEWHERE,
    FREQUENCIES,
    MATRIX,
    MEANING,
    Column,
    Down,
    Frequency,
    Row,
)

pytestmark = [pytest.mark.once, pytest.mark.much]

FOX = PhotaImage("a fox")
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(2_000)


def cells() -> Iterator[object]:
    for row in MATRIX:
        for column in COLUMNS:
            for frequency in FREQUENCIES:
                if getattr(row, column) is not None:
                    name = f"{row.section} {row.fault}, {column}, {frequency}"
                    yield pytest.param(row, column, frequency, id=name)


@pytest.mark.parametrize(("row", "column", "frequency"), list(cells()))
async def test_a_cell_ends_as_the_matrix_says(
    row: Row, column: Column, frequency: Frequency, tmp_path: Path
):
    async with (
        Emulator(duration=4, picture_scale=1 / 40, seed=1) as emulator,
        Session(
            "sk-emulator",
            base_url=emulator.url,
            polling=Polling(give_up_after=200),
            timeout=Timeout(request=20, stall=20),
        ) as session,
    ):
        cell = Cell(emulator, session, tmp_path, row, column, frequency)
        ended = await getattr(cell, column)()
        assert ended <= getattr(row, column).of(frequency)
        assert ended <= set(MEANING)
        assert not session.in_flight
        counters = emulator.counters
        assert counters.tasks == counters.images_billed
        assert counters.keys_leaked == 0


@define
class Cell:
    """The calls of each column; each returns the words for how they ended."""

    emulator: Emulator
    session: Session
    folder: Path
    row: Row
    column: Column
    frequency: Frequency
    return_of_server: asyncio.Future[None] | None = None

    async def submit(self) -> set[str]:
        await self._strike()
        if self.frequency != "sometimes":
            return {await self._submit(0)}
        # The first and the third attempt are hit: of three calls, or of two that are repeated.
        ended = [await self._submit(number) for number in range(3)]
        assert ended[1] == "completed"
        return {ended[0], ended[2]}

    async def _submit(self, number: int) -> str:
        before = self.emulator.counters
        ended, _ = await outcome(self.session.generate(PhotaImage(f"fox {number}")), "completed")
        after = self.emulator.counters
        billed, posts = after.tasks - before.tasks, after.posts - before.posts
        if ended in {"completed", "failed", "cancelled"}:
            assert billed == 1
        elif ended == "unknown":
            assert billed <= 1
            assert posts == 1, "a POST was repeated although its outcome was unknown"
        else:
            assert billed == 0
        return ended

    async def poll(self) -> set[str]:
        handle = await self.session.submit(FOX)
        await self._strike()
        ended, error = await outcome(handle.wait(), "completed", task_id=handle.id)
        counted = self.session.statistics()
        if ended == "timeout" and counted.polls == counted.polls_failed:
            assert error is not None
            assert error.__cause__ is not None
        assert self.emulator.counters.posts == 1
        return {ended}

    async def download(self) -> set[str]:
        task = await self.session.generate(FOX)
        await self._strike()
        saving = self.session.download(task, self.folder)
        ended, _ = await outcome(saving, "saved", task_id=task.id)
        files = list(self.folder.iterdir())
        if ended == "saved":
            [path] = files
            self.emulator.faults.clear()
            assert path.read_bytes() == await self.session.read(task.outputs[0])
        else:
            assert files == []
        assert self.emulator.counters.posts == 1
        return {ended}

    async def upload(self) -> set[str]:
        await self._strike()
        ended, _ = await outcome(self.session.upload(PICTURE), "uploaded", "refused")
        assert self.emulator.counters.posts == 0
        return {ended}

    async def _strike(self) -> None:
        """Have the fault hit requests from now on."""
        if not isinstance(self.row.effect, Down):
            self.emulator.script(*self.row.faults(self.column, self.frequency))
            return
        await self.emulator.stop()
        if self.frequency != "always":

            async def come_back() -> None:
                await anyio.sleep(0.2)
                await self.emulator.start()

            self.return_of_server = asyncio.ensure_future(come_back())


WORDS = (
    (TaskFailedError, "failed"),
    (TaskCancelledError, "cancelled"),
    (TaskTimeoutError, "timeout"),
    (SubmissionUnknownError, "unknown"),
    (OutputExpiredError, "expired"),
    (DownloadError, "not saved"),
)


async def outcome(
    call: Awaitable[object], success: str, refusal: str = "rejected", task_id: str | None = None
) -> tuple[str, FoxAPIError | None]:
    """Return the word of the matrix for the end of a call, and its error."""
    try:
        await call
    except FoxAPIError as error:
        end = error
    else:
        return success, None
    if task_id is not None:
        assert end.task_id == task_id
        assert task_id in str(end)
    return _word(end, refusal), end


def _word(error: FoxAPIError, refusal: str) -> str:
    for cls, word in WORDS:
        if isinstance(error, cls):
            return word
    if isinstance(error, AuthenticationError) and error.task_id is not None:
        return "unauthorized"
    if isinstance(error, NotFoundError) and error.task_id is not None:
        return "gone"
    if isinstance(error, APIStatusError) and error.task_id is None:
        return refusal
    if isinstance(error, InvalidResponseError):
        return "unusable" if error.task_id is None else "no outputs"
    if isinstance(error, APIConnectionError):
        return "broken" if error.sent else "not sent"
    return repr(error)


def test_every_line_of_section_17_is_in_the_matrix():
    letters = {row.section for row in MATRIX} | set(ELSEWHERE)
    assert letters - {"+"} == set("abcdefghijklmnopqrst")
    assert len({row.fault for row in MATRIX}) == len(MATRIX), "two rows of one name"


def test_the_documentation_shows_the_matrix():
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "write it: python -m tests.proof"
