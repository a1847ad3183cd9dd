"""``map`` as a plain iterator, whose input is read in the thread of the caller."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from foxapi_async import FoxAPIError, InvalidRequestError, Limits, PhotaImage, SessionClosedError
from foxapi_async.emulator import Emulator
from tests.sync.conftest import OpenSyncSession


def foxes(number: int) -> Iterator[PhotaImage]:
    for each in range(number):
        yield PhotaImage(f"fox {each}")


def test_all_of_an_input_are_submitted_within_the_limits(
    open_session: OpenSyncSession, emulator: Emulator
):
    with open_session(limits=Limits(outputs=4)) as session:
        outcomes = list(session.map(foxes(16)))
    assert sorted(outcome.index for outcome in outcomes) == list(range(16))
    assert {outcome.status for outcome in outcomes} == {"completed"}
    assert emulator.counters.images_billed == 16


def test_outcomes_in_order_of_pairs_and_of_a_fan_out(open_session: OpenSyncSession):
    with open_session() as session:
        pairs = [(f"key {n}", PhotaImage(f"fox {n}")) for n in range(9)]
        assert [outcome.key for outcome in session.map(pairs, ordered=True)] == [
            key for key, _ in pairs
        ]
        assert len(list(session.fan_out(PhotaImage("foxes", num_outputs=3)))) == 3
        assert list(session.map([])) == []


def test_the_input_is_read_in_the_thread_of_the_caller_and_may_call_the_session(
    open_session: OpenSyncSession,
):
    threads: set[int] = set()
    with open_session(limits=Limits(outputs=2)) as session:

        def uploaded() -> Iterator[PhotaImage]:
            for number in range(6):
                threads.add(threading.get_ident())
                session.upload(b"\x89PNG\r\n\x1a\n" + bytes(100), filename="a.png")
                yield PhotaImage(f"fox {number}")

        assert len(list(session.map(uploaded()))) == 6
    assert threads == {threading.get_ident()}


def test_what_the_input_raises_follows_after_the_outcomes(open_session: OpenSyncSession):
    class DatabaseError(Exception):
        pass

    def broken() -> Iterator[PhotaImage]:
        yield from foxes(3)
        raise DatabaseError

    seen = []
    with open_session() as session, pytest.raises(DatabaseError):  # noqa: PT012
        for outcome in session.map(broken()):
            seen.append(outcome.status)  # noqa: PERF401
    assert seen == ["completed"] * 3


@pytest.mark.parametrize("wrong", [None, "a fox"])
def test_an_item_that_is_no_request_ends_the_run_as_in_the_async_session(
    open_session: OpenSyncSession, wrong: object
):
    with open_session() as session:
        outcomes = session.map([PhotaImage("a fox"), wrong])  # type: ignore[list-item]
        assert next(outcomes).status == "completed"
        with pytest.raises(InvalidRequestError, match="item 1"):
            next(outcomes)


def test_close_stops_submitting(open_session: OpenSyncSession, emulator: Emulator):
    with open_session(limits=Limits(outputs=2)) as session:
        outcomes = session.map(foxes(100))
        next(outcomes)
        outcomes.close()
        outcomes.close()
        assert list(outcomes) == []
        billed = emulator.counters.tasks
        assert len(session.in_flight) == billed - session.statistics().completed
        for handle in session.in_flight:
            handle.wait()
        assert emulator.counters.tasks == billed < 10


def test_a_break_stops_submitting(open_session: OpenSyncSession, emulator: Emulator):
    with open_session(limits=Limits(outputs=2)) as session:
        for _ in session.map(foxes(100)):
            break
        gc.collect()
        for handle in session.in_flight:
            handle.wait()
        assert emulator.counters.tasks < 10


def test_nothing_is_read_before_the_first_outcome_is_asked_for(open_session: OpenSyncSession):
    def never() -> Iterator[PhotaImage]:
        raise AssertionError
        yield

    with open_session() as session:
        outcomes = session.map(never())
        time.sleep(0.01)
        assert outcomes.stopped_by is None


def test_threads_share_an_iterator(open_session: OpenSyncSession):
    with open_session() as session, ThreadPoolExecutor(4) as pool:
        outcomes = session.map(foxes(16))
        indexes = [each for part in pool.map(list, [outcomes] * 4) for each in part]
    assert sorted(outcome.index for outcome in indexes) == list(range(16))


def test_an_iterator_ends_with_its_session(open_session: OpenSyncSession):
    with open_session(limits=Limits(outputs=1)) as session:
        outcomes = session.map(foxes(100))
        next(outcomes)
    with pytest.raises(SessionClosedError):
        list(outcomes)
    outcomes.close()


def test_an_iterator_is_ended_by_another_thread_that_closes_the_session(
    open_session: OpenSyncSession,
):
    session = open_session(limits=Limits(outputs=1)).open()
    seen = []

    def read() -> FoxAPIError | None:
        try:
            for outcome in session.map(foxes(100_000)):
                seen.append(outcome)  # noqa: PERF402
        except SessionClosedError as error:
            return error
        return None

    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(read)
        while len(seen) < 3:
            time.sleep(0.001)
        session.close()
        assert isinstance(end.result(30), SessionClosedError)
