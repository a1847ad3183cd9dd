"""The live board on narrow terminals."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live

from foxapi_async.bulk import RunProgress
from foxapi_async.bulk.record.run_progress import summary_from_json
from foxapi_async.cli.job_board import board, progress_text, waiting_text

NOTHING = summary_from_json({}, Path("results.jsonl"))
NOW = datetime(2026, 1, 2, 2, 11, tzinfo=UTC)


def progress(**counts: int) -> RunProgress:
    summary = attrs.evolve(NOTHING, **counts)
    return RunProgress(at=NOW, seconds=60.0, stage="running", summary=summary)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_nothing_is_cut_off_on_a_narrow_terminal(width):
    shown = attrs.evolve(
        progress(requests=123_456, completed=20_000, failed=22, in_flight=32, not_submitted=99_999),
        images_per_minute=123.4,
        requests_per_minute=50.0,
        paused_since=NOW,
    )
    file = io.StringIO()
    # As the console of messages is.
    console = Console(file=file, width=width, height=20, force_terminal=True, soft_wrap=True)
    with Live(console=console, auto_refresh=False, get_renderable=lambda: board(shown)):
        pass
    lines = Console(file=io.StringIO(), width=width).render_lines(board(shown), pad=False)
    assert all(sum(cell_len(part.text) for part in line) <= width for line in lines)
    words = " ".join(file.getvalue().split())
    for part in ("20,000 of 123,456 done", "32 tasks in", "123 images/min", "left"):
        for word in part.split():
            assert word in words
    assert max(map(cell_len, plain(file.getvalue()))) <= width


def plain(drawn: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).replace("\r", "\n").split("\n")


def test_it_is_said_what_a_stopped_run_waits_for():
    assert waiting_text(progress(), 120.0) == "submissions under way"
    assert (
        waiting_text(progress(in_flight=1), 6.0)
        == "submissions under way and 1 task in flight, at most 6 s"
    )
    saving = attrs.evolve(progress(in_flight=2), saving=1)
    assert waiting_text(saving) == "2 tasks in flight and the files of 1 task"


def test_it_is_said_how_far_the_contact_sheet_is_drawn():
    shown = attrs.evolve(progress(requests=5, completed=5), stage="sheet")
    assert "writing the contact sheet: 1,200 of 5,000 pictures" in progress_text(
        shown, (1200, 5000)
    )
    assert progress_text(shown).endswith("writing the contact sheet")
    shown = attrs.evolve(shown, stage="table")
    assert progress_text(shown).endswith("writing the table of results")
