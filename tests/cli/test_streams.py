"""Standard streams that bear any text."""

from __future__ import annotations

import io

import pytest

from foxapi_async.cli.streams import plain, standard_error, standard_output


def test_what_an_encoding_lacks_is_escaped_and_odd_bytes_stay_as_they_are(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    stream = standard_output()
    assert not stream.is_unicode
    stream.write("Füchse \udcff 狐\n")
    stream.flush()
    assert raw.getvalue() == b"F\\xfcchse \xff \\u72d0\n"


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


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\rb", "a\x9bb", "a\x07b", "a\nb"])
def test_nothing_that_a_terminal_would_obey_is_printed(text):
    assert plain(text).isprintable()


def test_letters_of_any_script_are_left_alone():
    assert plain("ein Füchslein, 狐, 🦊") == "ein Füchslein, 狐, 🦊"
