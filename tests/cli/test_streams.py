"""Standard streams that bear any text."""

from __future__ import annotations

import errno
import io
import logging
from pathlib import Path

import pytest

from foxapi_async.cli.screen import Screen
from foxapi_async.cli.streams import plain, standard_error, standard_output

FULL = Path("/dev/full")


def test_what_an_encoding_lacks_is_escaped_and_odd_bytes_stay_as_they_are(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    stream = standard_output()
    assert not stream.is_unicode
    stream.write("Füchse \udcff 狐\n")
    stream.flush()
    assert raw.getvalue() == b"F\\xfcchse \xff \\u72d0\n"


def test_words_for_people_are_plainer_where_results_stay_exact(monkeypatch):
    written: dict[str, bytes] = {}
    for name, opened in (("stdout", standard_output), ("stderr", standard_error)):
        raw = io.BytesIO()
        monkeypatch.setattr(f"sys.{name}", io.TextIOWrapper(raw, encoding="ascii"))
        stream = opened()
        stream.write("1 of 2  ·  ü…")
        stream.flush()
        written[name] = raw.getvalue()
    assert written == {"stdout": b"1 of 2  \\xb7  \\xfc\\u2026", "stderr": b"1 of 2  |  \\xfc..."}


def test_a_stream_that_the_shell_has_closed_swallows_all(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    stream = standard_error()
    assert stream.write("x") == 1
    stream.flush()


def test_a_stream_that_cannot_be_set_up_is_used_as_it_is(monkeypatch):
    given = io.StringIO()
    monkeypatch.setattr("sys.stdout", given)
    stream = standard_output()
    stream.write("é")
    assert (given.getvalue(), stream.encoding, stream.isatty()) == ("é", "ascii", False)


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
def test_a_full_disk_is_borne_and_told_at_the_end(monkeypatch):
    with FULL.open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        stream = standard_output()
        for _ in range(3):
            stream.write("x" * 100_000)
            stream.flush()
        trouble = stream.finish()
        assert trouble is not None
        assert trouble.errno == errno.ENOSPC


def test_words_after_the_disk_was_full_are_written(monkeypatch):
    class Full(io.StringIO):
        is_full = True

        def flush(self) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")

    given = Full()
    monkeypatch.setattr("sys.stderr", given)
    stream = standard_error()
    stream.write("lost?\n")
    stream.flush()
    given.is_full = False
    stream.write("the last words\n")
    stream.flush()
    assert "the last words" in given.getvalue()
    assert stream.finish() is not None


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\rb", "a\x9bb", "a\x07b", "a\nb"])
def test_nothing_that_a_terminal_would_obey_is_printed(text):
    assert plain(text).isprintable()


def test_letters_of_any_script_are_left_alone():
    assert plain("ein Füchslein, 狐, 🦊") == "ein Füchslein, 狐, 🦊"


PACKAGE_LOG = logging.getLogger("foxapi_async")


@pytest.mark.parametrize("verbose", [False, True])
def test_errors_of_the_log_are_told_and_warnings_if_they_are_wanted(capsys, *, verbose):
    Screen(verbose=verbose)
    PACKAGE_LOG.warning("it may be slow")
    PACKAGE_LOG.error("not written: task-1")
    told = capsys.readouterr().err
    assert "not written: task-1" in told
    assert ("it may be slow" in told) is verbose


def test_a_log_that_cannot_be_told_ends_nothing(capsys):
    closed = io.StringIO()
    closed.close()
    Screen().console.file = closed
    PACKAGE_LOG.error("not written: task-1")
    assert "not written: task-1" in capsys.readouterr().err  # by way of logging itself
