"""Progress bars, drawn into a string and on a real pseudo-terminal."""

from __future__ import annotations

import io
import os
import re
import threading
from pathlib import Path

import attrs
import pytest

from foxapi_async import Output, PhotaImage, Task, TaskError, TaskInfo, TaskStatus, events
from foxapi_async.cli.console import Console
from foxapi_async.cli.progress import ProgressBars, RetryMessages
from foxapi_async.cli.task_state import TaskStates
from foxapi_async.errors import APITimeoutError, ServerError, SessionClosedError, TaskFailedError
from foxapi_async.events import Downloaded, DownloadProgress, TaskEnded, TaskSubmitted
from tests.cli.process import running, until

FOX = PhotaImage("a fox")


def test_a_row_shows_the_stage_of_its_task(monkeypatch):
    console = _console(monkeypatch)
    states = TaskStates()
    for number in range(6):
        task = Task(f"task-{number}", task_info=TaskInfo(estimated_time=1e6))
        states.update(TaskSubmitted(task, FOX, None))
    _complete(states, "task-1")
    _complete(states, "task-2", saved=True)
    _end(states, "task-3", TaskFailedError("x", task_id="task-3", task=Task("task-3")))
    _end(states, "task-4", SessionClosedError("x", task_id="task-4"))
    _complete(states, "task-5")
    states.update(DownloadProgress(Output(0, task_id="task-5"), 1, 2))
    rows = _draw(console, states)
    assert "~0 %" in rows[0]
    assert "pending" in rows[0]
    assert "completed" in rows[1]
    assert rows[2].startswith("✓ task-2")
    assert "saved" in rows[2]
    assert rows[3].startswith("✗ task-3")
    assert "failed: no_luck" in rows[3]
    assert rows[4].startswith("… task-4")
    assert "unfinished" in rows[4]
    assert "downloading" in rows[5]


def test_unfinished_tasks_are_shown_first_if_there_is_no_room_for_all(monkeypatch):
    console = _console(monkeypatch)
    states = TaskStates()
    for number in range(40):
        states.update(TaskSubmitted(Task(f"task-{number:02}"), FOX, None))
    for number in range(35):
        _complete(states, f"task-{number:02}", saved=True)
    rows = _draw(console, states)
    assert [row.split()[1] for row in rows[:5]] == [f"task-{number}" for number in range(35, 40)]
    assert "35 tasks not shown, 35 of 40 completed" in rows[5]


def test_an_id_is_not_cut_at_80_columns(monkeypatch):
    console = _console(monkeypatch)
    states = TaskStates()
    task_id = "task-unified-1760000000-k3v9x2ab"
    states.update(TaskSubmitted(Task(task_id), FOX, None))
    _end(states, task_id, TaskFailedError("x", task_id=task_id, task=Task(task_id)))
    assert task_id in _draw(console, states)[0]


@pytest.mark.ordinary_loop
@pytest.mark.parametrize("changes", [{}, {"NO_COLOR": "1"}])
async def test_bars_are_drawn_on_a_terminal_and_colours_can_be_disabled(
    emulated, tmp_path, changes
):
    async with emulated(duration=1.0) as (emulator, env):
        terminal = {**env, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", **changes}
        seen = await _on_a_terminal(terminal, "generate", "a fox", "-n", "2", "-o", str(tmp_path))
    (task_id,) = emulator.tasks
    assert "━" in seen
    assert task_id in seen
    assert "~" in seen  # between two polls the clock moves the bar
    assert "saved" in seen
    assert len(list(tmp_path.iterdir())) == 2
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", seen)) == (not changes)


async def _on_a_terminal(env: dict[str, str], *arguments: str) -> str:
    leader, follower = os.openpty()
    seen = bytearray()

    def read() -> None:
        try:
            while chunk := os.read(leader, 65536):
                seen.extend(chunk)
        except OSError:  # Linux says so when the other end is closed
            pass

    reader = threading.Thread(target=read)
    try:
        async with running(*arguments, env=env, stderr=follower) as command:
            os.close(follower)
            reader.start()
            await until(lambda: command.process.poll() is not None)
            assert command.process.returncode == 0
        await until(lambda: not reader.is_alive())
    finally:
        os.close(leader)
    return seen.decode()


def _console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    console = Console()
    console.rich.width, console.rich.height = 80, 24
    return console


def _draw(console: Console, states: TaskStates) -> list[str]:
    with console.rich.capture() as drawing:
        console.rich.print(ProgressBars(console, states).render())
    return drawing.get().splitlines()


def _complete(states: TaskStates, task_id: str, *, saved: bool = False) -> None:
    output = Output(0, "https://cdn.example/0.png", task_id=task_id)
    task = Task(task_id, status=TaskStatus.COMPLETED, outputs=(output,))
    states.update(TaskEnded(task_id, task, None, FOX, 3.0))
    if saved:
        states.update(Downloaded(output, Path("0.png"), 1))


def _end(states: TaskStates, task_id: str, error: TaskFailedError | SessionClosedError) -> None:
    task = Task(task_id)
    if isinstance(error, TaskFailedError):
        task = attrs.evolve(task, status=TaskStatus.FAILED, error=TaskError("no_luck"))
    states.update(TaskEnded(task_id, task, error, FOX, 3.0))


def test_retries_of_one_cause_are_one_line_and_a_count(capsys):
    messages = RetryMessages(Console())
    for number in range(5):
        busy = ServerError("GET …: HTTP 502", status=502)
        messages.print_event(events.PollFailed(f"task-{number}", busy))
    messages.print_event(events.PollFailed("task-9", APITimeoutError("no answer")))
    messages.print_event(events.RateLimited(None))
    messages.print_event(events.RateLimited(3.0))
    messages.finish()
    first, timeout, limited, *counts = capsys.readouterr().err.splitlines()
    assert first == "task task-0: a poll failed and is repeated: GET …: HTTP 502"
    assert timeout.startswith("task task-9: a poll failed")
    assert "429" in limited
    assert [line.partition(" since ")[0] for line in counts] == [
        "502 on polls: 5 times",
        "429 (the server limits the rate): 2 times",
    ]
