"""Faults of the network and the server end a call of the facade as they end that of the async session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from foxapi_async import Polling, Timeout, sync
from foxapi_async.emulator import Emulator
from tests.proof.fault_matrix import MATRIX, Column, Frequency, Row
from tests.proof.test_fault_matrix import Cell
from tests.sync.conftest import OpenSyncSession

pytestmark = [pytest.mark.once, pytest.mark.much]

FAULTS = {
    "429 with `Retry-After` in seconds",
    "500 with the id of the new task",
    "reset after the request took effect",
    "no answer, ever; the request took effect",
    "no further byte after the first half",
}
"""Rows of the fault matrix."""


class Awaitables:
    """The facade with ``await``, so that the cells of the matrix can use it."""

    def __init__(self, facade: Any) -> None:
        self._facade = facade

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._facade, name)
        if not callable(value) or name == "statistics":
            return value
        return awaitable(value)


def awaitable(call: Callable[..., object]) -> Callable[..., Awaitable[object]]:
    async def result(*args: object, **options: object) -> object:
        result = call(*args, **options)
        return Awaitables(result) if isinstance(result, sync.TaskHandle) else result

    return result


def cells() -> list[Any]:
    return [
        pytest.param((row, column, "once"), id=f"{row.fault}, {column}")
        for row in MATRIX
        if row.fault in FAULTS
        for column in ("submit", "poll", "download", "upload")
        if getattr(row, column) is not None
    ]


@pytest.mark.parametrize("cell", cells())
def test_a_cell_of_the_fault_matrix_ends_the_same_through_the_facade(
    cell: tuple[Row, Column, Frequency],
    open_session: OpenSyncSession,
    emulator: Emulator,
    tmp_path,
):
    with open_session(
        polling=Polling(give_up_after=200), timeout=Timeout(request=20, stall=20)
    ) as session:
        calls = Cell(emulator, Awaitables(session), tmp_path, *cell)  # type: ignore[arg-type]
        row, column, frequency = cell
        ended = asyncio.run(getattr(calls, column)())
        assert ended <= getattr(row, column).of(frequency)
        assert session.in_flight == ()
        assert emulator.counters.tasks == emulator.counters.images_billed


def test_the_rows_are_rows_of_the_matrix():
    assert {row.fault for row in MATRIX} >= FAULTS
