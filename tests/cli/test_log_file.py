"""`--log-file`: dated lines, whatever the disk does."""

from __future__ import annotations

import logging
import re
import resource
import signal

import pytest

from foxapi_async import ConfigurationError
from foxapi_async.cli.console import Console
from foxapi_async.cli.log_file import LogFile

DATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S.*")


def test_messages_and_the_log_are_appended_with_date_and_time(tmp_path, capsys):
    path = tmp_path / "night.log"
    path.write_text("before\n")
    console = Console(quiet=True)
    console.log_to(path)
    console.info("one\ntwo")
    console.warning("three \x1b[0m 日本")
    logging.getLogger("foxapi_async.files").info("four")
    logging.getLogger("foxapi_async").debug("five")
    before, *lines = path.read_text(encoding="utf-8").splitlines()
    assert before == "before"
    assert all(DATED.fullmatch(line) for line in lines)
    assert [line[20:] for line in lines] == [
        "one",
        "two",
        "three  [0m 日本",
        "INFO    foxapi_async.files  four",
    ]
    assert "one" not in capsys.readouterr().err


def test_without_a_terminal_each_line_of_a_dated_console_has_its_time(capsys):
    console = Console()
    console.dated = True
    console.info("one\ntwo")
    console.error("three")
    assert all(DATED.fullmatch(line) for line in capsys.readouterr().err.splitlines())


def test_equal_errors_of_the_log_are_counted(capsys):
    console = Console()
    for _ in range(5):
        logging.getLogger("foxapi_async").error("the disk is %s", "full")
    logging.getLogger("foxapi_async").error("task 1 is lost")
    console.finish(0)  # type: ignore[arg-type]
    err = capsys.readouterr().err
    assert err.count("ERROR   foxapi_async  the disk is full") == 1
    assert "the disk is full: 5 times since" in err
    assert "task 1 is lost" in err


def test_a_full_disk_is_reported_once_and_later_lines_are_tried(tmp_path, capsys):
    path = tmp_path / "night.log"
    console = Console()
    console.log_to(path)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30, hard))
        for _ in range(4):
            console.info("a line of the log")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    console.info("the last")
    err = capsys.readouterr().err
    assert err.count("a line of the log") == 4
    assert err.count("cannot be written: File too large") == 1
    assert DATED.fullmatch(path.read_text().splitlines()[-1])


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"the log file .* cannot be written: Is a directory"
    ):
        LogFile(tmp_path)
