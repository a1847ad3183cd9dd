"""Every command has help, and wrong usage is reported."""

from __future__ import annotations

import re
import socket
import subprocess
import sys

import pytest
import typer.main

from foxapi_async.cli import main
from foxapi_async.cli.app import app
from foxapi_async.cli.exit_codes import MEANINGS
from foxapi_async.version import __version__
from tests.cli.process import environment

COMMANDS = ("generate", "run", "status", "wait", "upload", "balance", "doctor", "worker", "watch", "report", "resolve",
            "unknown", "demo", "emulator", "profile")  # fmt: skip


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")


def test_these_are_the_commands():
    assert tuple(typer.main.get_command(app).commands) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_and_each_of_its_options_has_help(capsys, command, option):
    assert main([command, option]) == 0
    shown = capsys.readouterr().out
    for parameter in typer.main.get_command(app).commands[command].params:
        if parameter.name != "help":
            assert parameter.help, (command, parameter.name)
            named = parameter.metavar or parameter.opts[-1]
            assert named in shown if "-" not in parameter.opts[-1] else parameter.opts[-1] in shown


def test_the_help_lists_every_exit_code_with_its_meaning(capsys):
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {' '.join(meaning.split())}" in shown


def test_the_version_is_printed_on_stdout(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"foxapi-async {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["--nonsense"], ["nonsense"], ["status"], ["wait"], ["generate", "x", "-n", "many"]],
)
def test_wrong_usage_is_reported_on_stderr(capsys, arguments):
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "Usage" in streams.err


def test_a_key_as_an_argument_is_refused_and_not_printed(capsys):
    assert main(["generate", "a fox", "--api-key", "sk-secret"]) == 2
    said = capsys.readouterr().err
    assert "FOXAPI_API_KEY" in said
    assert "secret" not in said


def test_invalid_options_of_the_emulator_are_refused(capsys):
    assert main(["emulator", "--speed", "0"]) == 2
    assert "speed must be above 0" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["emulator", "--port", str(taken.getsockname()[1])]) == 3
    assert "the emulator cannot listen" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_command_says_how_to_install_it(missing):
    script = (
        "import sys; sys.modules[%r] = None; from foxapi_async.cli import main; sys.exit(main([]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script % missing],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "pip install 'foxapi-async[cli]'" in done.stderr
    assert not re.search("Traceback", done.stderr)


def test_help_does_not_load_aiohttp():
    script = (
        "import sys; from foxapi_async.cli import main; main(['--help']); "
        "sys.exit('aiohttp' in sys.modules or 'PIL' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, check=False
    )
    assert done.returncode == 0
