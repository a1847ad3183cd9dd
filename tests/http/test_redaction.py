"""The API key is found in every form in which a server may quote it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxapi_async.http.redaction import REPLACEMENT, Redactor

KEY = "sk-Ab3/x_+9zQ=="
REDACTOR = Redactor(KEY)

JSON_ESCAPED = "".join(f"\\u{ord(c):04x}" for c in KEY)

FORMS = {
    "plain": KEY,
    "slash escaped": KEY.replace("/", "\\/"),
    "first letter escaped": "\\u0073" + KEY[1:],
    "all escaped": JSON_ESCAPED,
    "all escaped, upper case": JSON_ESCAPED.upper().replace("\\U", "\\u"),
    "JSON in JSON": json.dumps(json.dumps(KEY.replace("/", "\\/")))[3:-3],
    "escaped JSON in JSON": json.dumps(JSON_ESCAPED)[1:-1],
    "percent-encoded": quote(KEY, safe=""),
    "all percent-encoded": "".join(f"%{ord(c):02X}" for c in KEY),
    "percent-encoded twice": quote("".join(f"%{ord(c):02x}" for c in KEY), safe=""),
    "percent-encoded in JSON": "".join(f"\\u0025{ord(c):02x}" for c in KEY),
    "decimal entities": "".join(f"&#{ord(c)};" for c in KEY),
    "hexadecimal entities": "".join(f"&#x{ord(c):X};" for c in KEY),
    "entities twice": "".join(f"&amp;#{ord(c)};" for c in KEY),
    "a literal of Python": "".join(f"\\x{ord(c):02x}" for c in KEY),
    "UTF-16 read as UTF-8": "\0".join(KEY),
    "mixed": f"%73\\u006b{KEY[2:8]}&#{ord(KEY[8])};{KEY[9:]}",
}


@pytest.mark.parametrize("form", FORMS)
def test_the_key_is_found_in_every_form(form):
    assert REDACTOR.text(f"<{FORMS[form]}>") == f"<{REPLACEMENT}>"


@pytest.mark.parametrize("form", sorted(FORMS.keys() - {"plain", "UTF-16 read as UTF-8"}))
def test_every_escape_is_noticed_in_a_body(form):
    assert REDACTOR.escape.search(FORMS[form].encode())


@pytest.mark.parametrize(
    "form", sorted(FORMS.keys() - {"a literal of Python", "UTF-16 read as UTF-8"})
)
def test_json_stays_json(form):
    text = f'{{"error": {{"message": "\\"{FORMS[form]}\\"\\\\", "{FORMS[form]}": 1}}}}'
    json.loads(text)
    clean = json.loads(REDACTOR.text(text))
    assert REPLACEMENT in clean["error"]
    assert clean["error"]["message"] == f'"{REPLACEMENT}"\\'


def test_ordinary_escapes_cost_nothing_more_than_a_search():
    body = b'{"url": "https://cdn.example/a%E3%81%82?x=1\\u0026y=%22", "n": "\\n\\"\\ud83e"}'
    assert Redactor("sk-0123456789abcdef").escape.search(body) is None


def test_the_rest_is_left_as_it_is():
    text = (
        '{"url": "https:\\/\\/cdn.example\\/a%20b?x=1\\u0026sig=sk-Ab3%2Fx", "n": "\\ud83e\\udd8a"}'
    )
    assert REDACTOR.text(text) == text


def test_a_key_that_is_too_short_to_be_one_is_left():
    assert Redactor("sk-1").text("task-sk-1") == "task-sk-1"


@pytest.mark.parametrize("length", range(8, len(KEY)))
def test_a_part_of_the_key_at_the_end_of_a_cut_text_is_removed(length):
    assert REDACTOR.cut_text(f"the key {KEY[:length]}") == f"the key {REPLACEMENT}"
    assert REDACTOR.cut_text(KEY[:7]) == KEY[:7]


@given(st.text(), st.text(), st.sampled_from(sorted(FORMS)))
def test_the_key_is_found_between_any_texts(before, after, form):
    clean = REDACTOR.text(before + FORMS[form] + after)
    assert REPLACEMENT in clean
    assert FORMS[form] not in clean


@settings(max_examples=30)
@given(st.from_regex(r"[A-Za-z0-9/+=_.-]{8,30}", fullmatch=True))
def test_any_key_is_found_in_json(key):
    text = json.dumps({"message": f"<{key}>"})
    assert json.loads(Redactor(key).text(text)) == {"message": f"<{REPLACEMENT}>"}


def test_a_long_run_of_backslashes_takes_no_long_time():
    key = "sk-Abcdef/0123456789"
    escaped = key.replace("/", "\\" * 7 + "/")
    text = Redactor(key).text("\\" * 300_000 + escaped)
    assert "0123456789" not in text
