"""Values for the answers of the API."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import attrs
import pytest

from foxapi_async import Output, Task, TaskError, TaskInfo, TaskStatus, UploadedFile

TASK = Task(
    "task-1",
    TaskStatus.COMPLETED,
    "phota-image",
    100,
    datetime(2026, 10, 9, tzinfo=UTC),
    "image",
    "image.generation.task",
    TaskInfo(can_cancel=False, estimated_time=4.5),
    (Output(0, "https://cdn.example/1.png", {"seed": 7}, "task-1", "image"),),
    TaskError("c", "m", "t"),
    {"credits_reserved": 60000},
    {"id": "task-1"},
)
FILE = UploadedFile("file-1", "https://cdn.example/f.png", "f.png", 5, TASK.created, {"id": "f"})
VALUES = [TASK, FILE, TASK.outputs[0], TaskInfo(), TaskError()]

each_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@each_value
def test_values_are_frozen_hashable_and_picklable(value):
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    assert hash(copy.deepcopy(value)) == hash(value)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, None)
    with pytest.raises((AttributeError, TypeError)):
        value.no_such_field = 1


def test_values_differ_by_every_field_but_the_raw_object():
    other = Task("other", TaskStatus.OTHER)
    for field in attrs.fields(Task):
        changed = attrs.evolve(TASK, **{field.name: getattr(other, field.name)})
        assert (changed == TASK) is (field.name == "raw"), field.name


def test_the_raw_object_is_not_in_the_repr():
    assert "raw" not in repr(TASK)
    assert "raw" not in repr(FILE)


def test_only_the_id_of_a_task_is_required():
    task = Task("task-1")
    assert (task.status, task.outputs, task.error) == (TaskStatus.PENDING, (), None)
    assert (task.usage, task.raw) == ({}, {})
    assert Task("task-1").usage is not task.usage
