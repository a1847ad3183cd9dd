"""What a session tells its listener."""

from __future__ import annotations

import logging
from pathlib import Path

import attrs
import pytest

from foxapi_async import FoxAPIError, Output, PhotaImage, Task, events
from foxapi_async.event_emitter import EventEmitter
from foxapi_async.events import Event

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
]


def test_every_kind_of_event_is_listed():
    assert {type(event) for event in ONE_OF_EACH} == set(Event.__subclasses__())
    assert {cls.__name__ for cls in Event.__subclasses__()} | {"Event"} == set(events.__all__)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_a_listener_is_handed_every_event(event):
    heard: list[Event] = []
    emitter = EventEmitter(heard.append)
    assert emitter.has_listener
    emitter.emit(event)
    assert heard == [event]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, attrs.fields(type(event))[0].name, None)


def test_without_a_listener_nothing_is_worth_building():
    emitter = EventEmitter(None)
    assert not emitter.has_listener
    emitter.emit(ONE_OF_EACH[0])


def test_a_listener_that_raises_is_logged_and_does_not_break_the_run(caplog):
    def broken(event: Event) -> None:
        raise ZeroDivisionError

    emitter = EventEmitter(broken)
    with caplog.at_level(logging.ERROR, "foxapi_async"):
        emitter.emit(ONE_OF_EACH[6])
    (record,) = caplog.records
    assert "on_event raised for RateLimited" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_a_listener_can_still_end_the_program(signal):
    def stop(event: Event) -> None:
        raise signal

    with pytest.raises(signal):
        EventEmitter(stop).emit(ONE_OF_EACH[6])


def test_the_example_of_the_module_works():
    said: list[str] = []

    def on_event(event: Event) -> None:
        match event:
            case events.TaskUpdated(task=task):
                said.append(f"{task.id} {task.progress}")
            case events.TaskEnded(task_id=task_id, error=None):
                said.append(f"{task_id} is completed")

    for event in ONE_OF_EACH:
        EventEmitter(on_event).emit(event)
    assert said == ["task-1 None", "task-1 is completed"]
