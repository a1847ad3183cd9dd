"""Events: each kind, and how the emitter calls the listener."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from foxapi_async import FoxAPIError, Output, PhotaImage, Task, events
from foxapi_async.events import Event, EventEmitter

REQUEST = PhotaImage("a fox")
TASK = Task("task-1")
OUTPUT = Output(0, "https://cdn.example/1.png")
ONE_OF_EACH = [
    events.SubmissionStarted(REQUEST, "k-1"),
    events.TaskSubmitted(TASK, REQUEST, "k-1"),
    events.SubmissionFailed(REQUEST, None, FoxAPIError("no")),
    events.TaskUpdated(TASK, REQUEST),
    events.TaskEnded("task-1", TASK, None, REQUEST, 4.5),
    events.PollFailed("task-1", FoxAPIError("no")),
    events.RateLimited(7.0),
    events.DownloadProgress(OUTPUT, 10, None),
    events.Downloaded(OUTPUT, Path("fox.png"), 10),
    events.SubmissionsPaused(datetime(2026, 11, 27, tzinfo=UTC), FoxAPIError("no"), 2.0),
    events.SubmissionsResumed(30.0),
]


def test_every_kind_of_event_is_public_and_has_an_example():
    assert {type(event) for event in ONE_OF_EACH} == set(Event.__subclasses__())
    names = {cls.__name__ for cls in Event.__subclasses__()}
    assert names | {"Event", "EventEmitter"} == set(events.__all__)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_the_listener_receives_every_event(event):
    received: list[Event] = []
    emitter = EventEmitter(received.append)
    assert emitter.has_listener
    emitter.emit(event)
    assert received == [event]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, attrs.fields(type(event))[0].name, None)


def test_without_a_listener_events_are_not_worth_building():
    emitter = EventEmitter(None)
    assert not emitter.has_listener
    emitter.emit(ONE_OF_EACH[0])


def test_an_exception_of_the_listener_is_logged_and_not_raised(caplog):
    def broken(event: Event) -> None:
        raise ZeroDivisionError

    emitter = EventEmitter(broken)
    with caplog.at_level(logging.ERROR, "foxapi_async"):
        emitter.emit(ONE_OF_EACH[6])
    (record,) = caplog.records
    assert "on_event raised an exception for RateLimited" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_cancellation_of_the_listeners_own_is_logged_like_an_exception(caplog):
    def cancelled(event: Event) -> None:
        raise asyncio.CancelledError

    EventEmitter(cancelled).emit(ONE_OF_EACH[6])
    assert "on_event raised an exception for RateLimited" in caplog.text


class _OwnBaseError(BaseException):
    """A BaseException of the listener's own."""


OF_THE_LISTENER = [KeyboardInterrupt, SystemExit, GeneratorExit, _OwnBaseError]


@pytest.mark.parametrize("fault", OF_THE_LISTENER)
def test_whatever_the_listener_raises_is_only_logged(fault, caplog):
    def stop(event: Event) -> None:
        raise fault

    EventEmitter(stop).emit(ONE_OF_EACH[6])
    assert "on_event raised an exception for RateLimited" in caplog.text


@pytest.mark.parametrize("fault", OF_THE_LISTENER)
async def test_whatever_the_listener_raises_costs_no_task(fault, open_session, emulator):
    raised: set[str] = set()

    def stop(event: Event) -> None:
        raised.add(type(event).__name__)
        raise fault

    async with open_session(on_event=stop) as session:
        outcomes = [outcome async for outcome in session.fan_out(PhotaImage("f", num_outputs=2))]
        task = await session.generate(REQUEST)
        assert not session.in_flight
    assert [outcome.status for outcome in outcomes] == ["completed", "completed"]
    assert task.outputs
    assert emulator.counters.images_billed == 3
    assert raised >= {"SubmissionStarted", "TaskSubmitted", "TaskUpdated", "TaskEnded"}


def test_the_example_in_the_module_docstring_works():
    printed: list[str] = []

    def on_event(event: Event) -> None:
        match event:
            case events.TaskUpdated(task=task):
                printed.append(f"{task.id} {task.progress}")
            case events.TaskEnded(task_id=task_id, error=None):
                printed.append(f"{task_id} is completed")

    for event in ONE_OF_EACH:
        EventEmitter(on_event).emit(event)
    assert printed == ["task-1 None", "task-1 is completed"]
