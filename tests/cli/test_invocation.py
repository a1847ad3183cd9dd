"""The command to go on repeats what was given, and can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from foxapi_async.cli.app import app
from foxapi_async.cli.invocation import command_again, remembered, to_remember, without_password


def again(arguments: list[str], **defaults: Any) -> list[str]:
    """Return the words of the repeated command, whose first ones are the program and the command."""
    group = typer.main.get_command(app)
    name, *rest = arguments
    command = group.commands[name]
    context = command.make_context(name, rest, default_map=defaults)
    return shlex.split(command_again(context, without={"yes", "as_json"}))


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "my jobs.jsonl", "-o", "out"],
        ["run", "jobs.jsonl", "-o", "it's", "--max-images", "5", "--no-sheet", "--timeout", "2.5"],
        ["run", "j", "-o", "out", "--keys=-a,b", "--key-file", "k", "-q"],
        ["run", "j", "--output=-out"],
        ["wait", "a", "b", "-o", "x"],
    ],
)
def test_what_was_given_is_repeated(arguments: list[str]):
    assert again(arguments) == ["foxapi", *arguments]


def test_agreement_passwords_and_the_options_of_files_are_not_repeated():
    given = ["run", "j", "-o", "out", "-y", "--json", "--proxy", "http://me:secret@host:3128"]
    words = again(given, max_images=5)
    assert words == ["foxapi", "run", "j", "-o", "out", "--proxy", "http://host:3128"]


def test_an_argument_that_begins_with_a_dash_stays_an_argument():
    words = again(["run", "-o", "out", "--", "-jobs.jsonl"])
    assert words[2] == "./-jobs.jsonl"
    assert again(["run", "-", "-o", "out"])[2] == "-"


def test_a_repeated_option_is_repeated():
    given = ["generate", "fox", "--param", "a=1", "--param", "b=x y"]
    assert again(given) == ["foxapi", *given]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:pw@host:1/x@y", "http://host:1/x@y"),
        ("me:pw@host:1", "host:1"),
        ("http://host/a@b", "http://host/a@b"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str):
    assert without_password(url) == shown


def test_a_remembered_command_works_from_any_directory(tmp_path: Path, monkeypatch):
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    kept = to_remember("foxapi run j -o out")
    assert remembered(kept) == "foxapi run j -o out"
    monkeypatch.chdir(tmp_path)
    assert remembered(kept) == f"cd '{tmp_path}/a b' && foxapi run j -o out"
    for damaged in (None, "x", {"command": 7, "cwd": "/"}, {"command": "x"}):
        assert remembered(damaged) is None
