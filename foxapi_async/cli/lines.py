"""Progress where no bars can be drawn: one plain line for each thing that happens."""

from __future__ import annotations

from foxapi_async.cli.screen import Screen
from foxapi_async.cli.words import count, seconds, size, standing
from foxapi_async.events import (
    Downloaded,
    Event,
    PollFailed,
    RateLimited,
    TaskEnded,
    TaskSubmitted,
    TaskUpdated,
)
from foxapi_async.models import Task, TaskStatus
from foxapi_async.requests import Request

__all__ = ["Lines", "Troubles"]


class Lines:
    """Tells of each event that a person would wait for. Errors are left to the command."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said: dict[str, str] = {}

    def note(self, event: Event) -> None:
        """Tell of an event."""
        match event:
            case TaskSubmitted(task, request):
                self._screen.say(f"task {task.id}: {_asked(task, request)}")
            case TaskUpdated(task):
                self._update(task)
            case TaskEnded(task_id, error=None, seconds=age):
                self._screen.say(f"task {task_id}: completed after {seconds(age)}")
            case Downloaded(_, path, size=bytes_):
                self._screen.say(f"saved {path} ({size(bytes_)})")
            case _:
                pass

    def _update(self, task: Task) -> None:
        progress = "" if task.progress is None else f", {task.progress} %"
        words = f"{standing(task)}{progress}"
        # The end has a line of its own, and what was just said is not said again.
        if task.status is not TaskStatus.COMPLETED and self._said.get(task.id) != words:
            self._said[task.id] = words
            self._screen.say(f"task {task.id}: {words}")


class Troubles:
    """Tells of what goes wrong and mends itself, each kind once."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._limited = False
        self._missed: set[str] = set()

    def note(self, event: Event) -> None:
        """Tell of an event."""
        match event:
            case RateLimited(retry_after) if not self._limited:
                self._limited = True
                asked = "" if retry_after is None else f"; it asks to wait {seconds(retry_after)}"
                self._screen.say(f"the server limits the rate (429): slowing down{asked}", "yellow")
            case PollFailed(task_id, error) if task_id not in self._missed:
                self._missed.add(task_id)
                self._screen.say(
                    f"task {task_id}: a look failed and is repeated: {error}", "yellow"
                )
            case _:
                pass


def _asked(task: Task, request: Request | None) -> str:
    images = "" if request is None else f", {count(request.num_outputs, 'output')}"
    estimate = task.task_info.estimated_time
    announced = "" if estimate is None else f", about {seconds(estimate)}"
    return f"submitted{images}{announced}"
