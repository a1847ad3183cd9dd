"""When a request may be sent again: each line of the rules, walked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.http.verdict import (
    LOOK_VERDICTS,
    NO_CHANNEL_CODES,
    SUBMIT_VERDICTS,
    Finding,
    Verdict,
    error_code,
    find,
    has_envelope,
)

ENVELOPE = {"error": {"message": "no", "type": "invalid_request_error"}}
NOT_JSON = b"no JSON at all"
NO_ENVELOPES = [
    *(NOT_JSON, None, [], [ENVELOPE], "no", 5, {}, {"error": None}, {"error": "no"}, {"error": []}),
    *({"message": "no"}, {"detail": ENVELOPE}),
]  # fmt: skip
REFUSALS = [400, 401, 402, 403, 404, 413, 422]


def coded(code: object) -> dict[str, object]:
    return {"error": {"message": "no", "code": code}}


def submit(status: int, payload: object) -> Verdict:
    return SUBMIT_VERDICTS[find(status, payload)]


def look(status: int, payload: object) -> Verdict:
    return LOOK_VERDICTS[find(status, payload)]


def test_there_is_a_verdict_on_every_finding_and_on_nothing_else():
    assert set(SUBMIT_VERDICTS) == set(LOOK_VERDICTS) == set(Finding)


def test_every_verdict_is_passed_on_something():
    assert set(SUBMIT_VERDICTS.values()) == set(Verdict)


def test_a_submission_is_sent_again_only_if_it_certainly_created_nothing():
    again = {finding for finding, verdict in SUBMIT_VERDICTS.items() if verdict is Verdict.REPEAT}
    assert again == {Finding.NOT_SENT, Finding.RATE_LIMITED, Finding.NO_CHANNEL}


def test_a_look_bills_nothing_so_its_outcome_is_never_unknown():
    assert Verdict.UNKNOWN not in LOOK_VERDICTS.values()


@pytest.mark.parametrize(
    ("finding", "submission", "free"),
    [
        (Finding.NOT_SENT, Verdict.REPEAT, Verdict.REPEAT),
        (Finding.CUT_OFF, Verdict.UNKNOWN, Verdict.REPEAT),
        (Finding.OK, Verdict.ACCEPT, Verdict.ACCEPT),
        (Finding.UNUSABLE, Verdict.UNKNOWN, Verdict.REPEAT),
        (Finding.RATE_LIMITED, Verdict.REPEAT, Verdict.REPEAT),
        (Finding.NO_CHANNEL, Verdict.REPEAT, Verdict.REPEAT),
        (Finding.REFUSED, Verdict.RAISE, Verdict.RAISE),
        (Finding.UNCLEAR, Verdict.UNKNOWN, Verdict.REPEAT),
    ],
)
def test_the_verdicts_are_these(finding, submission, free):
    assert (SUBMIT_VERDICTS[finding], LOOK_VERDICTS[finding]) == (submission, free)


def test_a_429_in_the_services_own_words_may_be_sent_again():
    assert submit(429, ENVELOPE) is Verdict.REPEAT
    assert submit(429, {"error": {}}) is Verdict.REPEAT
    assert find(429, ENVELOPE) is Finding.RATE_LIMITED


@pytest.mark.parametrize("payload", NO_ENVELOPES, ids=repr)
def test_a_429_in_other_words_is_unclear(payload):
    assert submit(429, payload) is Verdict.UNKNOWN
    assert look(429, payload) is Verdict.REPEAT


@pytest.mark.parametrize("status", [422, 503])
@pytest.mark.parametrize("code", ["no_compatible_channel", "no_available_model"])
def test_no_channel_for_a_model_may_be_sent_again(status, code):
    assert submit(status, coded(code)) is Verdict.REPEAT
    assert find(status, coded(code)) is Finding.NO_CHANNEL


@pytest.mark.parametrize("code", sorted(NO_CHANNEL_CODES))
@pytest.mark.parametrize("status", [500, 502, 504, 520, 408, 409, 302])
def test_no_channel_under_another_status_is_unclear(status, code):
    assert submit(status, coded(code)) is Verdict.UNKNOWN


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("payload", [ENVELOPE, *NO_ENVELOPES], ids=repr)
def test_a_refusal_is_a_refusal_in_whatever_words(status, payload):
    assert submit(status, payload) is Verdict.RAISE
    assert look(status, payload) is Verdict.RAISE


@pytest.mark.parametrize(
    "code", ["model_not_found", "unsupported_advanced_options", "invalid_param", None, 5, []]
)
def test_a_422_with_another_code_is_a_refusal(code):
    assert submit(422, coded(code)) is Verdict.RAISE


@pytest.mark.parametrize(
    "code", ["internal_error", "service_unavailable", "all_platforms_exhausted", None, 5, []]
)
def test_a_503_with_another_code_is_unclear(code):
    assert submit(503, coded(code)) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "status",
    [*(100, 101, 300, 301, 302, 303, 304, 307, 308, 405, 406, 408, 409, 410, 415, 418, 425, 451),
     *(499, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 599, 600, 999)],
)  # fmt: skip
@pytest.mark.parametrize("payload", [ENVELOPE, NOT_JSON])
def test_any_other_status_may_have_billed_a_submission_and_is_asked_again_when_free(
    status, payload
):
    assert submit(status, payload) is Verdict.UNKNOWN
    assert look(status, payload) is Verdict.REPEAT


@pytest.mark.parametrize("status", [*REFUSALS, 429, 503])
@pytest.mark.parametrize(
    "naming",
    [
        {"id": "task-1"},
        {"task_id": "task-1"},
        {"error": {"code": "no_compatible_channel", "task_id": "task-1"}},
        {"id": {"odd": 1}},
    ],
    ids=repr,
)
def test_an_error_that_names_a_task_is_no_refusal(status, naming):
    assert submit(status, {**coded("no_compatible_channel"), **naming}) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "empty", [{"id": None}, {"id": ""}, {"task_id": None}, {"id": 0}], ids=repr
)
def test_an_error_with_an_empty_id_names_no_task(empty):
    assert submit(429, {**ENVELOPE, **empty}) is Verdict.REPEAT
    assert submit(400, {**ENVELOPE, **empty}) is Verdict.RAISE


def test_the_id_of_an_error_is_not_that_of_a_task():
    assert submit(400, {"error": {"id": "err-1", "task_id": None}}) is Verdict.RAISE


def test_an_envelope_is_an_object_with_an_error_object():
    assert has_envelope(ENVELOPE)
    assert [payload for payload in NO_ENVELOPES if has_envelope(payload)] == []


def test_an_error_code_is_a_text():
    assert error_code(coded("no")) == "no"
    for payload in (*NO_ENVELOPES, ENVELOPE, coded(5), coded(None), coded(["no"])):
        assert error_code(payload) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "id", "task_id", "code"]) | st.text(), inner)
    ),
    max_leaves=8,
)


@given(st.integers(100, 999).filter(lambda status: not 200 <= status <= 299), json_values)
def test_whatever_an_answer_holds_a_submission_is_repeated_only_by_the_two_rules(status, payload):
    if submit(status, payload) is Verdict.REPEAT:
        assert (status == 429 and has_envelope(payload)) or (
            status in {422, 503} and error_code(payload) in NO_CHANNEL_CODES
        )
        assert not payload.get("id")
        assert not payload.get("task_id")


def test_walking_every_status_gives_the_table_of_the_contract():
    expected = dict.fromkeys(range(300, 600), Verdict.UNKNOWN)
    expected |= dict.fromkeys(REFUSALS, Verdict.RAISE) | {429: Verdict.REPEAT}
    assert {status: submit(status, ENVELOPE) for status in expected} == expected
