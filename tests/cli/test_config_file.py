"""Configuration files: defaults for options, and what may not be in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from foxapi_async.cli import main
from foxapi_async.cli.app import app
from foxapi_async.cli.config_file import ConfigFile
from tests.cli.process import environment

JOB = '{"prompt": "a fox"}\n'


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("FOXAPI_API_KEY", "FOXAPI_API_KEY_FILE", "FOXAPI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config" / "foxapi").mkdir(parents=True)
    (tmp_path / "job").mkdir()
    path = tmp_path / "job" / "jobs.jsonl"
    path.write_text(JOB)
    return path


def user(jobs: Path) -> Path:
    return jobs.parents[1] / "config" / "foxapi" / "config.toml"


def beside(jobs: Path) -> Path:
    return jobs.parent / "foxapi.toml"


def dry_run(jobs: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    out = ["-o", str(jobs.parent / "out")]
    code = main(["run", str(jobs), "--dry-run", *out, *options])
    return code, capsys.readouterr().err


def test_the_command_line_comes_before_the_file_of_the_job_and_that_before_the_users(jobs, capsys):
    assert "at most" not in dry_run(jobs, capsys)[1]
    user(jobs).write_text("max-images = 100\n[run]\nmax-images = 90\n[generate]\nresolution = '4K'")
    code, said = dry_run(jobs, capsys)
    assert (code, "at most 90 (--max-images)" in said) == (0, True)
    assert f"from {user(jobs)}: --max-images" in said
    beside(jobs).write_text("max-images = 80")
    assert "at most 80" in dry_run(jobs, capsys)[1]
    assert "at most 70" in dry_run(jobs, capsys, "--max-images", "70")[1]


def test_required_options_flags_and_lists_have_defaults_too(jobs, capsys):
    template = "template = '{prompt}, watercolor'"
    beside(jobs).write_text(
        f"[run]\njson = true\nsheet = false\n{template}\n[run.set]\nresolution = '8K'"
    )
    user(jobs).write_text(f"[run]\noutput = '{jobs.parent / 'out'}'")
    assert main(["run", str(jobs), "--dry-run"]) == 2
    assert "resolution is '8K'" in capsys.readouterr().err
    beside(jobs).write_text(f"[run]\njson = true\nno-sheet = true\n{template}")
    assert main(["run", str(jobs), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["submit"] == 1


def test_a_list_is_the_value_of_a_field_and_a_byte_order_mark_is_skipped(jobs, capsys):
    jobs.write_text('{"prompt": "snow", "model": "phota-image-edit"}\n')
    urls = '["https://files.example/a.png", "https://files.example/b.png"]'
    user(jobs).write_text(f"[run]\nset = {{ image_urls = {urls} }}", "utf-8-sig")
    assert dry_run(jobs, capsys)[0] == 0


def test_the_environment_comes_before_a_file():
    texts = {"base-url": "https://file.example", "proxy": "http://file.example:1", "quiet": True}
    file = ConfigFile(Path("config.toml"), texts, is_trusted=True)
    status = typer.main.get_command(app).commands["status"]  # type: ignore[attr-defined]
    assert file.defaults_of(status, "status", {}) == {
        "base_url": "https://file.example",
        "proxy": "http://file.example:1",
        "quiet": True,
    }
    variables = {"FOXAPI_BASE_URL": "https://variable.example", "all_proxy": "http://x:1"}
    assert file.defaults_of(status, "status", variables) == {"quiet": True}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max-imges = 3", "max-imges is neither an option nor a command; did you mean max-images?"),
        ("max_images = 3", "did you mean max-images?"),
        ("[rum]\nmax-images = 3", "did you mean run?"),
        ("[run]\nresolution = '4K'", "resolution in [run] is neither"),
        ("[profile.creat]\njson = true", "profile.creat is neither"),
        ("run = 3", "run must be a table of options: [run]"),
        ("[profile]\ncreate = 3", "profile.create must be a table of options: [profile.create]"),
        ("max-images = [1]", "max-images must be one value"),
        ("sheet = 'no'", "sheet must be true or false"),
        ("api-key = 'sk-secret'", "the API key does not belong in a configuration file"),
        ("[run]\nFOXAPI_API_KEY = 'sk-secret'", "the API key does not belong"),
        ("retry-unknown = true", "retry-unknown cannot be a default"),
        ("max-images = ", "config.toml cannot be read: "),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(jobs, capsys, text, words):
    user(jobs).write_text(text)
    code, said = dry_run(jobs, capsys)
    assert code == 3
    assert f"foxapi: {user(jobs)}" in said
    assert words in said
    assert "sk-secret" not in said


@pytest.mark.parametrize("text", ["max-images = 'x'", "max-images = 0", "max-time = 'soon'"])
def test_a_value_that_does_not_suit_is_refused_with_its_file(jobs, capsys, text):
    user(jobs).write_text(text)
    code, said = dry_run(jobs, capsys)
    assert code == 2
    assert f"'--{text.split()[0]}'" in said
    assert str(user(jobs).name) in said


@pytest.mark.parametrize(
    "text", ["yes = true", "base-url = 'https://x'", "[run]\non-end = 'rm x'", "key-file = 'x'"]
)
def test_a_file_beside_a_job_cannot_spend_run_commands_or_send_the_key_elsewhere(
    jobs, capsys, text
):
    beside(jobs).write_text(text)
    code, said = dry_run(jobs, capsys)
    assert code == 3
    assert "is not taken from the folder of a job" in said
    beside(jobs).rename(user(jobs))
    assert "is not taken from" not in dry_run(jobs, capsys)[1]


def test_the_doctor_says_which_file_was_read(jobs, capsys):
    user(jobs).write_text("base-url = 'http://127.0.0.1:9'")
    assert main(["doctor"]) != 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "configuration" in each]
    assert str(user(jobs)) in line


def test_help_does_not_read_the_files(jobs, capsys):
    user(jobs).write_text("nonsense")
    assert main(["run", "--help"]) == 0
    assert "--max-time" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", {"COMP_WORDS": "foxapi run --max-", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "foxapi run --max-"}),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "foxapi run --max-",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
        ),
    ],
)
def test_shells_complete_options(jobs, shell, words):
    user(jobs).write_text("nonsense")
    env = environment(
        XDG_CONFIG_HOME=os.environ["XDG_CONFIG_HOME"],
        _FOXAPI_COMPLETE=f"complete_{shell}",
        **words,
    )
    command = [sys.executable, "-m", "foxapi_async.cli"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert "--max-time" in done.stdout
    assert "--max-images" in done.stdout
    assert done.stderr == ""


def test_the_completion_of_the_shell_can_be_shown():
    # A second command, because a shell replaces itself by its last one.
    command = f"{sys.executable} -m foxapi_async.cli --show-completion; true"
    done = subprocess.run(
        ["bash", "-c", command], env=environment(), capture_output=True, text=True, check=False
    )
    assert "_FOXAPI_COMPLETE=complete_bash" in done.stdout
