"""Paths of saved files: relative to their directory, which they cannot leave."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.bulk.results.saved_files import for_journal, path_below, path_of, saved_paths
from foxapi_async.journal import SavedFile


@pytest.mark.parametrize(
    ("stored", "below"),
    [
        ("fox.png", "fox.png"),
        ("./animals/fox.png", "animals/fox.png"),
        ("out/fox.png", "fox.png"),
        ("/home/me/out/fox.png", "fox.png"),
        ("C:\\out\\fox.png", "fox.png"),
        ("./../fox.png", "_"),
        (".//etc/passwd", "_"),
        ("./a/../../fox.png", "_"),
        ("./C:/fox.png", "_"),
        ("./a\\..\\..\\b/x.png", "_"),
        ("..", "_"),
        ("", "_"),
    ],
)
def test_a_stored_path_is_one_below_the_directory(stored: str, below: str):
    assert path_below(stored) == below


@given(st.text() | st.lists(st.sampled_from([".", "..", "a", "/", "\\", ":", "\0"])).map("".join))
def test_no_stored_path_leaves_the_directory(text: str):
    for stored in (text, f"./{text}"):
        path = path_of(Path("/out"), SavedFile(path_below(stored), 1, "0"))
        assert path.is_relative_to("/out")
        assert ".." not in path.parts


@pytest.mark.parametrize("path", ["fox.png", "a/b/fox.png"])
def test_the_journal_gives_back_what_it_was_given(path: str):
    assert path_below(for_journal(SavedFile(path, 1, "0")).path) == path


def test_lines_of_earlier_releases_name_files_in_the_directory_itself():
    files = [{"path": "out/a.png"}, {"path": None}, 3]
    assert saved_paths({"files": files}) == ["a.png"]
    assert saved_paths({"files": files, "job": "jobs.jsonl"}) == ["out/a.png"]
    assert saved_paths({"files": [{"path": "/etc/passwd"}], "job": "j"}) == ["_"]
    assert saved_paths({"files": None}) == []
