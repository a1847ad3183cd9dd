"""The question before money is spent, on a real terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from foxapi_async import InvalidRequestError
from foxapi_async.cli.agreement import ask_for_agreement
from foxapi_async.cli.console import Console
from foxapi_async.cli.context import CommandContext


@pytest.fixture
def keyboard(monkeypatch) -> Iterator[int]:
    """Make standard input a terminal, and return where a person types."""
    typed, terminal = os.openpty()
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: True))
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield typed
    os.close(typed)


@pytest.mark.parametrize("answer", ["y\n", " YES \n"])
def test_yes_is_agreement(keyboard, capsys, answer):
    os.write(keyboard, answer.encode())
    ask_for_agreement(CommandContext(), "it", "Pay for it?")
    assert "Pay for it? [y/N]" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["\n", "n\n", "yellow\n", "\x04"])
def test_any_other_answer_sends_nothing(keyboard, answer):
    os.write(keyboard, answer.encode())
    with pytest.raises(InvalidRequestError, match="was not agreed to; nothing was sent"):
        ask_for_agreement(CommandContext(), "it", "Pay for it?")


@pytest.mark.parametrize("stdin", [None, "file"])
def test_without_a_terminal_nothing_is_asked(monkeypatch, tmp_path, stdin):
    (tmp_path / "stdin").write_text("y\n")
    with (tmp_path / "stdin").open() as file:
        monkeypatch.setattr(sys, "stdin", stdin and file)
        with pytest.raises(
            InvalidRequestError, match="it needs agreement, and there is no terminal"
        ):
            ask_for_agreement(CommandContext(), "it", "Pay for it?")
