"""`foxapi run`: the formats of job files, their options, standard input and the example files."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
import tempfile
from os.path import relpath
from pathlib import Path
from typing import Any, get_args

import pytest

from foxapi_async.bulk.input.field_names import FIELDS, GENERAL
from foxapi_async.bulk.input.rows.detection import FileFormat
from foxapi_async.cli import app
from foxapi_async.cli.input_options import Format
from tests.cli.process import ROOT, foxapi

EXAMPLES = ROOT / "examples" / "jobs"
DOCUMENTATION = ROOT / "docs" / "jobs.md"


@pytest.fixture
def dry_run(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs the command in this process and returns its document."""

    def run(*arguments: str, stdin: bytes | None = None) -> Any:
        text = None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", text)
        out = tmp_path / "out"
        code = app.run(["run", *arguments, "-o", str(out), "--dry-run", "--json"])
        said = capfd.readouterr()
        assert not out.exists()
        document = json.loads(said.out)
        assert document["exit_code"] == code
        return document

    return run


def counts(document: Any) -> tuple[int, int]:
    return document["plan"]["requests"], document["plan"]["outputs"]


EXPECTED = {
    "prompts.jsonl": (2, 2),
    "prompts.txt": (3, 3),
    "requests.json": (2, 3),
    "requests.jsonl": (5, 6),
    "requests.jsonl.gz": (5, 6),
    "spreadsheet.csv": (2, 3),
    "table.csv": (3, 4),
    "table.tsv": (2, 2),
    "unicode-text.txt": (2, 2),
}


def test_there_is_an_example_of_each_format():
    assert {path.name for path in EXAMPLES.iterdir()} == set(EXPECTED)
    text = DOCUMENTATION.read_text(encoding="utf-8")
    assert {name for name in EXPECTED if f"examples/jobs/{name}" not in text} == set()


@pytest.mark.parametrize("name", EXPECTED)
def test_each_example_can_be_run(dry_run: Any, name: str):
    options = ["--template", "{Text}, {Stil}"] if name == "unicode-text.txt" else []
    assert counts(dry_run(str(EXAMPLES / name), *options)) == EXPECTED[name]


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "unicode-text.txt"])
def test_each_example_can_be_piped(dry_run: Any, name: str):
    assert counts(dry_run("-", stdin=(EXAMPLES / name).read_bytes())) == EXPECTED[name]


def test_every_field_of_a_line_is_documented(capfd: pytest.CaptureFixture[str]):
    assert app.run(["run", "--help"]) == 0
    texts = [capfd.readouterr().out, DOCUMENTATION.read_text(encoding="utf-8")]
    for text in texts:
        words = set(re.findall(r"\w+", text))
        assert {*FIELDS, *GENERAL, "custom_id", "id"} - words == set()


def test_the_formats_of_the_option_are_those_of_the_package():
    option = get_args(Format)[0]
    assert set(get_args(get_args(option)[0])) == set(get_args(FileFormat))


def test_options_map_columns_and_give_defaults(dry_run: Any, tmp_path: Path):
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("Text,n\na fox,\nan owl,3\n")
    rules = ["--field", "prompt=Text", "--field", "num_outputs=n", "--set", "num_outputs=2"]
    assert counts(dry_run(str(jobs), *rules)) == (2, 5)
    template = ["--template", "{Text}, a = b", "--set", "aspect_ratio=3:4", "--format", "csv"]
    assert counts(dry_run(str(jobs), *template)) == (2, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--field", "prompt"], "NAME=COLUMN"),
        (["--set", "=x"], "NAME=VALUE"),
        (["--set", "a=1", "--set", "a=2"], "twice"),
        (["--set", "key=x"], "its own key"),
        (["--set", "resolution=9K"], "--set"),
        (["--template", "x"], "names no column"),
        (["--template", "{Category}"], "Category"),
    ],
)
def test_a_wrong_option_is_refused(dry_run: Any, options: list[str], said: str):
    document = dry_run(str(EXAMPLES / "prompts.txt"), *options)
    assert document["exit_code"] == 2
    assert said in document["message"]


def test_a_dry_run_of_standard_input_leaves_nothing(
    dry_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert counts(dry_run("-", stdin=b"a fox\nan owl\n")) == (2, 2)
    refused = dry_run("-", stdin=b'{"promt": "a"}\n')
    assert refused["message"].startswith("standard input: 1 problem")
    assert list(temporary.iterdir()) == []


def test_a_closed_standard_input_is_refused(dry_run: Any):
    assert dry_run("-")["exit_code"] == 3


@pytest.mark.ordinary_loop
async def test_standard_input_is_kept_and_the_hint_goes_on(emulated: Any, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(PNG)
    picture = relpath(tmp_path / "a.png")  # noqa: ASYNC240
    out = tmp_path / "out put"
    lines = [
        {"prompt": "a fox"},
        {"model": "phota-image-edit", "prompt": "b", "image_urls": [picture]},
    ]
    stdin = "".join(json.dumps(line) + "\n" for line in lines).encode()
    rules = ["--set", "note=a = b", "--template", "{prompt}, it's {{wool}}"]
    arguments = ["run", "-", "-o", str(out), "--yes", "--max-images", "1", *rules]
    async with emulated() as (emulator, env):
        first = await foxapi(*arguments, env=env, stdin=stdin)
        assert first.code == 4
        assert (out / "jobs.jsonl").read_bytes() == stdin
        (hint,) = re.findall("  (foxapi run .*)", first.err)
        words = shlex.split(hint)
        assert words[1:3] == ["run", str(out / "jobs.jsonl")]
        # Relative paths of the kept file start from where the command was called.
        assert words[words.index("--folder") + 1] == str(Path.cwd())
        again = await foxapi(*words[1:], "--yes", env=env)
        assert again.code == 0, again.err
        assert emulator.counters.images_billed == 2
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [line["prompt"] for line in results] == ["a fox, it's {wool}", "b, it's {wool}"]
    assert [line["own"] for line in results] == [{"note": "a = b"}] * 2


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0"
    "000003010100c9fe92ef0000000049454e44ae426082"
)
