"""Checking a job file: completely, by line and field, in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foxapi_async import GenerationRequest, PhotaImage, PhotaImageEdit, PhotaImageEnhance
from foxapi_async.bulk import Job, JobFileError
from foxapi_async.bulk.input.rows.row import LONGEST_LINE

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return tmp_path / "jobs.jsonl"


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


def problems(path: Path, **options: Any) -> list[tuple[int, str | None]]:
    with pytest.raises(JobFileError) as caught:
        Job.read(path, **options)
    for problem in caught.value.problems[:100]:
        assert str(problem) in str(caught.value)
    return [(problem.line, problem.field) for problem in caught.value.problems]


def requests(path: Path) -> list[Any]:
    return [line.request for line in Job.read(path).lines()]


def test_each_line_is_a_request_of_its_model(jobs: Path):
    write(
        jobs,
        {"prompt": "a fox"},
        {"model": "phota-image-edit", "prompt": "b", "image_urls": ["https://x.example/a.png"]},
        {"model": "phota-image-enhance", "image_url": "https://x.example/a.png", "creativity": 0.5},
        {"model": "gpt-image-2", "prompt": "c", "size": "1:1", "num_outputs": 3},
        {"model": "suno-v4", "kind": "audio", "params": {"text": "d"}},
        {"model": "phota-image", "params": {"prompt": "e", "num_outputs": 2, "resolution": "8K"}},
    )
    job = Job.read(jobs)
    assert (job.requests, job.outputs, job.heaviest) == (6, 9, 3)
    assert requests(jobs) == [
        PhotaImage("a fox"),
        PhotaImageEdit("b", image_urls=("https://x.example/a.png",)),
        PhotaImageEnhance("https://x.example/a.png", creativity=0.5),
        GenerationRequest("gpt-image-2", {"prompt": "c", "size": "1:1", "num_outputs": 3}),
        GenerationRequest("suno-v4", {"text": "d"}, "audio"),
        GenerationRequest("phota-image", {"prompt": "e", "num_outputs": 2, "resolution": "8K"}),
    ]


def test_all_problems_are_listed_by_line_and_field(jobs: Path):
    write(
        jobs,
        {"prompt": " "},
        "",
        {"prompt": "a", "num_outputs": 0, "resolution": "9K", "colour": "red"},
        "{nope",
        "[1]",
        '{"prompt": "a", "prompt": "b"}',
        '{"prompt": "a", "num_outputs": NaN}',
        {"model": "phota-image-edit"},
        {"model": 7},
        {"prompt": "a", "key": 7},
        {"prompt": "a", "key": ""},
        {"model": "x", "params": {"a": 1}, "num_outputs": 2},
        {"model": "x", "kind": "smell"},
        "[" * 100_000,
    )
    assert problems(jobs) == [
        (1, "prompt"),
        (3, "num_outputs"),
        (3, "resolution"),
        *((line, None) for line in (4, 5, 6, 7)),
        (8, "prompt"),
        (8, "image_urls"),
        (9, "model"),
        (10, "key"),
        (11, "key"),
        (12, "num_outputs"),
        (13, "kind"),
        (14, None),
    ]


def test_each_line_over_the_limit_of_images_in_flight_is_a_problem(jobs: Path):
    write(jobs, *({"prompt": "a", "num_outputs": n} for n in (5, 4, 1, 6)))
    assert problems(jobs, heaviest=4) == [(1, "num_outputs"), (4, "num_outputs")]
    assert Job.read(jobs, heaviest=6).heaviest == 6
    assert Job.read(jobs).heaviest == 6


def test_only_the_first_thousand_problems_are_kept(jobs: Path):
    write(jobs, *["nope"] * 3000)
    with pytest.raises(JobFileError, match="3,000 problems") as caught:
        Job.read(jobs)
    assert (len(caught.value.problems), caught.value.more) == (1000, 2000)
    assert "and 2,900 more" in str(caught.value)


def test_a_repeated_key_is_a_problem_even_for_the_same_request(jobs: Path):
    write(jobs, {"prompt": "a", "key": "k"}, {"prompt": "b"}, {"prompt": "a", "key": "k"})
    assert problems(jobs) == [(3, "key")]


def test_a_key_equal_to_a_default_key_is_a_problem(jobs: Path):
    (line,) = Job.read(write(jobs, {"prompt": "a"})).lines()
    write(jobs, {"prompt": "a"}, {"prompt": "b", "key": line.key})
    assert problems(jobs) == [(2, "key")]


def keys(path: Path) -> list[str]:
    return [line.key for line in Job.read(path).lines()]


def test_default_keys_are_stable_when_lines_are_appended(jobs: Path):
    lines = [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}]
    before = keys(write(jobs, *lines))
    assert len(set(before)) == 3
    assert keys(write(jobs, *lines, {"prompt": "a"}, {"prompt": "c"}))[:3] == before


def test_default_keys_depend_on_content_and_not_on_formatting(jobs: Path):
    before = keys(write(jobs, {"prompt": "ä", "num_outputs": 2}))
    assert keys(write(jobs, "", '{ "num_outputs":2,   "prompt": "ä" , "model": null}')) == before
    assert keys(write(jobs, {"prompt": "ä", "num_outputs": 3})) != before


def test_a_byte_order_mark_blank_lines_and_other_line_ends_are_tolerated(jobs: Path):
    jobs.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n  \r\n{"prompt": "b"}')
    assert [(line.number, line.request) for line in Job.read(jobs).lines()] == [
        (1, PhotaImage("a")),
        (4, PhotaImage("b")),
    ]


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_request_is_a_problem(jobs: Path, content: bytes):
    jobs.write_bytes(content)
    assert problems(jobs) == [(1, None)]


def test_invalid_utf8_and_too_long_lines_are_problems(jobs: Path):
    jobs.write_bytes(b"\xfa\n" + b"x" * (2 * LONGEST_LINE + 5) + b'\n{"prompt": "a"}\n')
    assert problems(jobs) == [(1, None), (2, None)]


def test_the_error_names_a_path_that_is_missing_or_not_a_file(tmp_path: Path):
    for path in (tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(JobFileError, match=str(path)):
            Job.read(path)


def test_a_changed_file_is_refused_and_appended_lines_are_ignored(jobs: Path):
    write(jobs, {"prompt": "a"}, {"prompt": "b"}, "")
    job = Job.read(jobs)
    with jobs.open("a") as file:
        file.write('{"prompt": "c"}\nnonsense\n')
    assert [line.request for line in job.lines()] == [PhotaImage("a"), PhotaImage("b")]
    write(jobs, {"prompt": "z"})
    with pytest.raises(JobFileError, match="was changed"):
        list(job.lines())


def grow(text: str) -> str:
    return text.replace("number 150 ", "number 150, and more of it ")


def insert(text: str) -> str:
    head, separator, rest = text.partition("fox number 0 ")
    return f"{head}inserted{separator}{rest}"


def swap(text: str) -> str:
    return text.replace("number 399 ", "number 993 ")


def cut(text: str) -> str:
    return text[: len(text) // 2]


def empty(text: str) -> str:
    del text
    return ""


@pytest.mark.parametrize("edit", [grow, insert, swap, cut, empty])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_edit_during_the_iteration_never_becomes_a_request(tmp_path: Path, form: str, edit: Any):
    path = tmp_path / f"jobs.{form}"
    prompts = [f"fox number {n} {'in the snow ' * 20}" for n in range(400)]
    rows = [json.dumps({"prompt": prompt}) for prompt in prompts]
    path.write_text("\n".join(["prompt", *prompts] if form == "csv" else rows) + "\n")
    job = Job.read(path)
    lines = job.lines()
    first = [next(lines) for _ in range(3)]
    with path.open("r+") as file:
        edited = edit(file.read())
        file.seek(0)
        file.write(edited)
        file.truncate()
    taken = list(first)

    def take_the_rest() -> None:
        for line in lines:
            taken.append(line)  # noqa: PERF402 - what came before the error counts

    with pytest.raises(JobFileError, match="was changed somewhere after line") as caught:
        take_the_rest()
    with pytest.raises(JobFileError, match="was changed"):
        list(job.lines())
    assert [line.request for line in taken] == [PhotaImage(p) for p in prompts[: len(taken)]]
    assert f"after line {taken[-1].number}" in str(caught.value)


def test_lines_longer_than_a_block_are_read_unchanged(jobs: Path):
    prompts = ["x" * n for n in (16 * 1024, 1, 50_000, 16 * 1024 - 15, 3)]
    write(jobs, *({"prompt": prompt} for prompt in prompts))
    assert requests(jobs) == [PhotaImage(prompt) for prompt in prompts]


TABLE = '\ufeffkey,prompt,num_outputs,profile_ids\none,"a fox, red",2,\n,42,,\n\n"t\nwo",wide,1,\n'


def test_cells_are_converted_to_the_types_of_the_fields(tmp_path: Path):
    path = tmp_path / "jobs.csv"
    path.write_text(TABLE.replace(",profile_ids", "").replace(",\n", "\n").replace(",42,", ",42,"))
    lines = list(Job.read(path).lines())
    assert [(line.number, line.request) for line in lines] == [
        (2, PhotaImage("a fox, red", num_outputs=2)),
        (3, PhotaImage("42")),
        (5, PhotaImage("wide", num_outputs=1)),
    ]
    assert [lines[0].key, lines[2].key] == ["one", "t\nwo"]


def test_cells_may_hold_lists_numbers_and_parameters(tmp_path: Path):
    path = tmp_path / "jobs.tsv"
    path.write_text(
        "model\tprompt\timage_urls\timage_url\tcreativity\tsize\n"
        "phota-image-edit\ta\thttps://x.example/1 https://x.example/2\t\t\t\n"
        'phota-image-edit\ta\t["https://x.example/1"]\t\t\t\n'
        "phota-image-enhance\t\t\thttps://x.example/1\t0.25\t\n"
        "gpt-image-2\t7\t\t\t\t[1, 2]\n"
    )
    urls = ("https://x.example/1", "https://x.example/2")
    assert requests(path) == [
        PhotaImageEdit("a", image_urls=urls),
        PhotaImageEdit("a", image_urls=urls[:1]),
        PhotaImageEnhance(urls[0], creativity=0.25),
        GenerationRequest("gpt-image-2", {"prompt": "7", "size": [1, 2]}),
    ]


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("prompt,num_outputs\na,two\nb,1.5\n", [(2, "num_outputs"), (3, "num_outputs")]),
        ("prompt,num_outputs\na,1_0\n", [(2, "num_outputs")]),
        ("prompt,,x\na\n", [(1, None)]),
        ("prompt,prompt\na,b\n", [(1, None)]),
        ("prompt\na,b\n", [(2, None)]),
        ('prompt\n"a\n', [(2, None)]),
        ("model,size\nx,[1\n", [(2, "size")]),
        ("prompt\n\n", [(1, None)]),
    ],
)
def test_problems_of_a_table_are_listed(tmp_path: Path, table: str, found: object):
    path = tmp_path / "jobs.csv"
    path.write_text(table)
    assert problems(path) == found


def test_a_table_in_another_encoding_is_a_problem(tmp_path: Path):
    path = tmp_path / "jobs.csv"
    path.write_bytes(b"prompt\nf\xfcchse\na\n")
    assert problems(path) == [(2, None)]


MEASURE = """
import resource, sys
from foxapi_async.bulk import Job
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
job = Job.read(sys.argv[1])
plan = job.plan(sys.argv[1] + ".journal")
assert plan.submit == job.requests
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, job.requests)
"""


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked of POSIX")
def test_peak_memory_does_not_grow_with_the_number_of_lines(tmp_path: Path):
    def peak(lines: int) -> float:
        path = tmp_path / f"{lines}.jsonl"
        with path.open("w") as file:
            for number in range(lines):
                file.write(f'{{"prompt": "a fox in the snow, number {number}"}}\n')
        said = subprocess.run(
            [sys.executable, "-c", MEASURE, path],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ).stdout.split()
        assert int(said[2]) == lines
        return int(said[1]) / int(said[0])

    # The index of keys may fill its cache of 4 MiB; 27,000 more lines in memory would be tenfold.
    assert peak(30_000) < 1.2 * peak(3_000)
