"""Spans of time as people write them."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.cli.durations import positive_seconds_of, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        (90, 90),
        ("90s", 90),
        ("30m", 1800),
        ("30min", 1800),
        ("6h", 21_600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("2D", 172_800),
        (" 1 h ", 3600),
    ],
)
def test_a_span_of_time_is_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "six hours", "-5", "1m1h", "nan", "5x", "1h30", "6 h m"])
def test_anything_else_is_refused_with_what_would_be_right(text):
    with pytest.raises(typer.BadParameter, match="write seconds"):
        seconds_of(text)


def test_a_limit_is_not_zero():
    assert seconds_of("0s") == 0
    with pytest.raises(typer.BadParameter):
        positive_seconds_of("0s")


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_parts_add_up(days, hours, minutes, seconds):
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert seconds_of(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
