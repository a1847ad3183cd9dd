"""results.jsonl: append-only, repaired after a crash, no repeated lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import ConfigurationError, PhotaImage
from foxapi_async.bulk import Result, ResultStatus
from foxapi_async.bulk.results.results_file import ResultsFile
from foxapi_async.journal import SavedFile

RESULT = Result(
    line=7,
    key="k",
    status="completed",
    request=PhotaImage("a fox"),
    task_id="t1",
    files=(SavedFile("k.png", 3, "abc", 0),),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def append(path: Path, *results: Result) -> int:
    file = ResultsFile(path)
    try:
        return file.append(results)
    finally:
        file.close()


def test_a_line_describes_the_result_of_a_request(path: Path):
    append(path, RESULT)
    (line,) = lines(path)
    assert line.pop("at")
    assert line == {
        "key": "k",
        "line": 7,
        "status": "completed",
        "task_id": "t1",
        "model": "phota-image",
        "prompt": "a fox",
        "num_outputs": 1,
        "files": [{"path": "k.png", "size": 3, "sha256": "abc", "index": 0}],
        "error": None,
    }


def test_a_known_result_is_not_written_again_by_any_process(path: Path):
    file, other = ResultsFile(path), ResultsFile(path)
    assert [file.append([RESULT]), file.append([RESULT]), other.append([RESULT])] == [1, 0, 0]
    file.close()
    other.close()
    assert append(path, RESULT) == 0
    assert append(path, attrs.evolve(RESULT, line=9)) == 0
    assert append(path, attrs.evolve(RESULT, files=())) == 1
    assert len(lines(path)) == 2


def test_the_last_line_of_a_request_counts(path: Path):
    failed = attrs.evolve(RESULT, status="failed", error_code="no", error="it failed", files=())
    append(path, failed)
    append(path, RESULT, attrs.evolve(failed, key="other"))
    file = ResultsFile(path)
    assert [each["key"] for each in file.select("completed")] == ["k"]
    assert [each["key"] for each in file.select("failed", "other", "unknown")] == ["other"]
    assert file.counts() == {"completed": 1, "failed": 1}
    assert (file.outputs(), file.count_paid()) == (1, 2)
    file.close()


def test_unknown_does_not_replace_completed(path: Path):
    append(path, RESULT)
    assert append(path, attrs.evolve(RESULT, status="unknown", task_id=None, files=())) == 0
    assert append(path, attrs.evolve(RESULT, status="unsaved", files=())) == 1


def test_a_partial_last_line_is_removed_and_a_complete_one_is_kept(path: Path):
    append(path, RESULT)
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole.replace(b'"k"', b'"l"')[:cut])
        append(path)
        kept = path.read_bytes()
        assert kept == (whole if cut < len(whole) - 1 else whole + whole.replace(b'"k"', b'"l"'))


@given(st.binary(max_size=400))
def test_a_result_can_be_written_after_any_last_line(tmp_path_factory, tail: bytes):
    path = tmp_path_factory.mktemp("tail") / "results.jsonl"
    append(path, RESULT)
    with path.open("ab") as file:
        file.write(tail)
    assert append(path, attrs.evolve(RESULT, key="new")) == 1
    last = path.read_bytes().splitlines()[-1]
    assert json.loads(last)["key"] == "new"


def test_a_partial_line_of_another_process_is_removed(path: Path):
    file = ResultsFile(path)
    file.append([RESULT])
    with path.open("ab") as other:
        other.write(b'{"key": "torn", "stat')
    assert file.append([attrs.evolve(RESULT, key="new")]) == 1
    file.close()
    assert [line["key"] for line in lines(path)] == ["k", "new"]


def test_damaged_lines_are_counted_and_kept(path: Path):
    append(path, RESULT)
    path.write_bytes(b"\0\0\0\n" + path.read_bytes() + b"[1]\n\n")
    file = ResultsFile(path)
    assert (file.damaged, file.counts()["completed"]) == (2, 1)
    file.close()
    assert path.read_bytes().startswith(b"\0\0\0\n")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([*("key", "line", "status", "task_id", "files", "error", "prompt", "at")])


@given(st.dictionaries(FIELDS, JSON))
def test_the_file_can_be_read_with_any_line(tmp_path_factory, fields):
    path = tmp_path_factory.mktemp("line") / "results.jsonl"
    path.write_text(json.dumps(fields) + "\n")
    file = ResultsFile(path)
    assert file.append([attrs.evolve(RESULT, key="new")]) == 1
    told = [each["key"] for each in file.select(*get_args(ResultStatus), "other")]
    assert len(told) == 2 - file.damaged
    assert "new" in told
    file.close()


@pytest.mark.parametrize("line", ['{"key": "k", "status": ["completed"]}', '{"key": "k"}'])
def test_a_line_whose_status_is_not_a_string_is_damaged(path: Path, line: str):
    append(path, RESULT)
    with path.open("a") as file:
        file.write(line + "\n" + line + "\n")
    damaged = ResultsFile(path)
    assert (damaged.damaged, damaged.counts()["completed"]) == (2, 1)
    damaged.close()


def test_a_very_long_line_is_read_completely(path: Path):
    long = attrs.evolve(RESULT, request=PhotaImage("fox " * 200_000))
    append(path, long, attrs.evolve(RESULT, key="l"))
    file = ResultsFile(path)
    assert [each["key"] for each in file.select("completed")] == ["k", "l"]
    file.close()


@pytest.mark.parametrize("key", ["\ud800", "a\0b", "🦊" * 100, "../../x", "\n"])
def test_a_result_is_found_by_any_key(path: Path, key: str):
    result = attrs.evolve(RESULT, key=key)
    assert [append(path, result), append(path, result)] == [1, 0]
    assert lines(path)[0]["key"] == key


def test_the_error_names_a_file_that_cannot_be_opened(tmp_path: Path):
    (tmp_path / "results.jsonl").mkdir()
    with pytest.raises(ConfigurationError, match=r"results\.jsonl"):
        ResultsFile(tmp_path / "results.jsonl")
