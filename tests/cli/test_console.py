"""The output streams tolerate unencodable text, full disks and closed streams."""

from __future__ import annotations

import errno
import io
import logging
import re
from pathlib import Path

import pytest

from foxapi_async.cli.console import Console, printable, standard_error, standard_output

FULL = Path("/dev/full")


def test_unencodable_characters_are_escaped_and_raw_bytes_are_kept(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    stream = standard_output()
    assert not stream.is_unicode
    stream.write("Füchse \udcff 狐\n")
    stream.flush()
    assert raw.getvalue() == b"F\\xfcchse \xff \\u72d0\n"


def test_messages_are_simplified_and_results_are_escaped(monkeypatch):
    written: dict[str, bytes] = {}
    for name, opened in (("stdout", standard_output), ("stderr", standard_error)):
        raw = io.BytesIO()
        monkeypatch.setattr(f"sys.{name}", io.TextIOWrapper(raw, encoding="ascii"))
        stream = opened()
        stream.write("1 of 2  ·  ü…")
        stream.flush()
        written[name] = raw.getvalue()
    assert written == {"stdout": b"1 of 2  \\xb7  \\xfc\\u2026", "stderr": b"1 of 2  |  \\xfc..."}


def test_a_stream_closed_by_the_shell_accepts_everything(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    stream = standard_error()
    assert stream.write("x") == 1
    stream.flush()


def test_a_stream_that_cannot_be_reconfigured_is_used_unchanged(monkeypatch):
    given = io.StringIO()
    monkeypatch.setattr("sys.stdout", given)
    stream = standard_output()
    stream.write("é")
    assert (given.getvalue(), stream.encoding, stream.isatty()) == ("é", "ascii", False)


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
def test_a_full_disk_is_tolerated_and_reported_at_the_end(monkeypatch):
    with FULL.open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        stream = standard_output()
        for _ in range(3):
            stream.write("x" * 100_000)
            stream.flush()
        write_error = stream.finish()
        assert write_error is not None
        assert write_error.errno == errno.ENOSPC


def test_text_is_written_again_when_the_disk_has_room(monkeypatch):
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


BIDI = [chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)]


@pytest.mark.parametrize(
    "text",
    [
        *("\x1b[31mred", "a\rb", "a\x9bb", "a\x07b", "a\nb", "a\x7fb", "a\x85b"),
        *(
            f"a{c}b"
            for c in [*BIDI, "\u2028", "\u2029", "\u200b", "\ufeff", "\u00ad", "\U000e0041"]
        ),
        "a\udcc2\udc9bb",  # a CSI, if its bytes are written as they are
        "a\udce2\udc80\udcaeb",
    ],
    ids=ascii,
)
def test_control_and_format_characters_are_not_printed(text):
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    "text", ["日本\u3000語", "👩\u200d🚀", "\u0646\u200c\u0647", "a\udcff\udc9b.png", ""]
)
def test_visible_text_and_undecodable_file_names_are_unchanged(text):
    assert printable(text) == text


def test_letters_of_any_script_are_unchanged():
    assert printable("ein Füchslein, 狐, 🦊") == "ein Füchslein, 狐, 🦊"


PACKAGE_LOG = logging.getLogger("foxapi_async")


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("of one line", ["of one line"]),
        ("one two three four five six", ["one two three four five", "six"]),
        ("  price   one two three four", ["  price   one two three ", "          four"]),
        ("  foxapi run jobs.csv -o out --yes", ["  foxapi run jobs.csv -o out --yes"]),
        ("雪の中の狐、夜の森", ["雪の中の狐、夜の森"]),
    ],
)
def test_a_terminal_breaks_lines_between_words_and_never_a_command(monkeypatch, text, lines):
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := _Terminal())
    Console().info(text)
    written = re.sub("\x1b[^m]*m", "", terminal.getvalue())
    assert [line.rstrip() for line in written.splitlines()] == [line.rstrip() for line in lines]


@pytest.mark.parametrize("verbose", [False, True])
def test_log_errors_are_printed_and_log_warnings_only_if_verbose(capsys, *, verbose):
    Console(verbose=verbose)
    PACKAGE_LOG.warning("it may be slow")
    PACKAGE_LOG.error("not written: task-1")
    printed = capsys.readouterr().err
    assert "not written: task-1" in printed
    assert ("it may be slow" in printed) is verbose


def test_a_log_line_that_cannot_be_printed_raises_nothing(capsys):
    closed = io.StringIO()
    closed.close()
    Console().rich.file = closed
    PACKAGE_LOG.error("not written: task-1")
    assert "not written: task-1" in capsys.readouterr().err  # printed by logging itself
