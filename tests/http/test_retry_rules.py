"""The rules for repeating a request, each line of the tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.http.retry_rules import (
    IDEMPOTENT_DECISIONS,
    NO_CHANNEL_CODES,
    QUOTA_CODES,
    SUBMISSION_DECISIONS,
    ResponseClass,
    RetryDecision,
    classify_status,
    error_code,
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


def submit(status: int, payload: object) -> RetryDecision:
    return SUBMISSION_DECISIONS[classify_status(status, payload)]


def poll(status: int, payload: object) -> RetryDecision:
    return IDEMPOTENT_DECISIONS[classify_status(status, payload)]


def test_there_is_a_decision_for_every_response_class():
    assert set(SUBMISSION_DECISIONS) == set(IDEMPOTENT_DECISIONS) == set(ResponseClass)


def test_every_decision_is_used():
    assert set(SUBMISSION_DECISIONS.values()) == set(RetryDecision)


def test_a_submission_is_repeated_only_if_it_certainly_created_nothing():
    again = {
        response_class
        for response_class, decision in SUBMISSION_DECISIONS.items()
        if decision is RetryDecision.REPEAT
    }
    assert again == {ResponseClass.NOT_SENT, ResponseClass.RATE_LIMITED, ResponseClass.NO_CHANNEL}


def test_the_outcome_of_a_free_request_is_never_unknown():
    assert RetryDecision.UNKNOWN not in IDEMPOTENT_DECISIONS.values()


@pytest.mark.parametrize(
    ("response_class", "submission", "free"),
    [
        (ResponseClass.NOT_SENT, RetryDecision.REPEAT, RetryDecision.REPEAT),
        (ResponseClass.CUT_OFF, RetryDecision.UNKNOWN, RetryDecision.REPEAT),
        (ResponseClass.OK, RetryDecision.ACCEPT, RetryDecision.ACCEPT),
        (ResponseClass.UNUSABLE, RetryDecision.UNKNOWN, RetryDecision.REPEAT),
        (ResponseClass.RATE_LIMITED, RetryDecision.REPEAT, RetryDecision.REPEAT),
        (ResponseClass.NO_CHANNEL, RetryDecision.REPEAT, RetryDecision.REPEAT),
        (ResponseClass.REFUSED, RetryDecision.RAISE, RetryDecision.RAISE),
        (ResponseClass.UNCLEAR, RetryDecision.UNKNOWN, RetryDecision.REPEAT),
    ],
)
def test_the_decisions_of_each_response_class(response_class, submission, free):
    assert (SUBMISSION_DECISIONS[response_class], IDEMPOTENT_DECISIONS[response_class]) == (
        submission,
        free,
    )


def test_a_429_in_the_error_format_of_the_api_is_repeated():
    assert submit(429, ENVELOPE) is RetryDecision.REPEAT
    assert submit(429, {"error": {}}) is RetryDecision.REPEAT
    assert classify_status(429, ENVELOPE) is ResponseClass.RATE_LIMITED


@pytest.mark.parametrize("payload", NO_ENVELOPES, ids=repr)
def test_a_429_in_another_format_is_repeated_too(payload):
    assert submit(429, payload) is RetryDecision.REPEAT
    assert poll(429, payload) is RetryDecision.REPEAT


def test_a_429_whose_text_names_a_task_is_unclear():
    assert classify_status(429, NOT_JSON, names_task=True) is ResponseClass.UNCLEAR
    assert classify_status(429, NOT_JSON, names_task=True, asked="task-1") is (
        ResponseClass.RATE_LIMITED
    )
    assert classify_status(400, NOT_JSON, names_task=True) is ResponseClass.REFUSED


@pytest.mark.parametrize("code", [*sorted(QUOTA_CODES), "Insufficient-Quota", " QUOTA_EXCEEDED "])
def test_a_429_because_the_quota_is_used_up_is_a_refusal_of_a_submission(code):
    forms = [coded(code), {"error": {"type": code}}, {"code": code}, {"error": code}]
    for payload in forms:
        assert submit(429, payload) is RetryDecision.RAISE
        assert classify_status(429, payload, asked="task-1") is ResponseClass.RATE_LIMITED
        assert classify_status(429, {**payload, "id": "task-1"}) is ResponseClass.UNCLEAR


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "resource_exhausted", None, 5, [], ""])
def test_a_429_with_another_code_is_no_matter_of_the_quota(code):
    assert submit(429, coded(code)) is RetryDecision.REPEAT


@pytest.mark.parametrize("status", [422, 503])
@pytest.mark.parametrize("code", ["no_compatible_channel", "no_available_model"])
def test_no_channel_for_a_model_is_repeated(status, code):
    assert submit(status, coded(code)) is RetryDecision.REPEAT
    assert classify_status(status, coded(code)) is ResponseClass.NO_CHANNEL


@pytest.mark.parametrize("code", sorted(NO_CHANNEL_CODES))
@pytest.mark.parametrize("status", [500, 502, 504, 520, 408, 409, 302])
def test_no_channel_under_another_status_is_unclear(status, code):
    assert submit(status, coded(code)) is RetryDecision.UNKNOWN


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("payload", [ENVELOPE, *NO_ENVELOPES], ids=repr)
def test_a_refusal_is_a_refusal_in_any_format(status, payload):
    assert submit(status, payload) is RetryDecision.RAISE
    assert poll(status, payload) is RetryDecision.RAISE


@pytest.mark.parametrize(
    "code", ["model_not_found", "unsupported_advanced_options", "invalid_param", None, 5, []]
)
def test_a_422_with_another_code_is_a_refusal(code):
    assert submit(422, coded(code)) is RetryDecision.RAISE


@pytest.mark.parametrize(
    "code", ["internal_error", "service_unavailable", "all_platforms_exhausted", None, 5, []]
)
def test_a_503_with_another_code_is_unclear(code):
    assert submit(503, coded(code)) is RetryDecision.UNKNOWN


@pytest.mark.parametrize(
    "status",
    [*(100, 101, 300, 301, 302, 303, 304, 307, 308, 405, 406, 408, 409, 410, 415, 418, 425, 451),
     *(499, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 599, 600, 999)],
)  # fmt: skip
@pytest.mark.parametrize("payload", [ENVELOPE, NOT_JSON])
def test_any_other_status_is_unknown_for_a_submission_and_repeated_when_free(status, payload):
    assert submit(status, payload) is RetryDecision.UNKNOWN
    assert poll(status, payload) is RetryDecision.REPEAT


@pytest.mark.parametrize("status", [*REFUSALS, 429, 503])
@pytest.mark.parametrize(
    "naming",
    [
        {"id": "task-1"},
        {"task_id": "task-1"},
        {"data": {"id": "task-1"}},
        {"data": {"task_id": "task-1"}},
        {"data": [{"task_id": "task-1"}]},
        {"error": {"code": "no_compatible_channel", "task_id": "task-1"}},
        {"id": {"odd": 1}},
    ],
    ids=repr,
)
def test_an_error_with_a_task_id_is_no_refusal(status, naming):
    assert submit(status, {**coded("no_compatible_channel"), **naming}) is RetryDecision.UNKNOWN


@pytest.mark.parametrize(
    "empty", [{"id": None}, {"id": ""}, {"task_id": None}, {"id": 0}], ids=repr
)
def test_an_error_with_an_empty_id_has_no_task_id(empty):
    assert submit(429, {**ENVELOPE, **empty}) is RetryDecision.REPEAT
    assert submit(400, {**ENVELOPE, **empty}) is RetryDecision.RAISE


def test_the_id_of_the_error_object_is_not_a_task_id():
    assert submit(400, {"error": {"id": "err-1", "task_id": None}}) is RetryDecision.RAISE


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
def test_a_submission_is_repeated_only_by_the_two_rules_for_any_answer(status, payload):
    if submit(status, payload) is RetryDecision.REPEAT:
        assert status == 429 or (status in {422, 503} and error_code(payload) in NO_CHANNEL_CODES)
        assert not isinstance(payload, dict) or not payload.get("id")
        assert not isinstance(payload, dict) or not payload.get("task_id")


def test_all_statuses_give_the_table_of_the_contract():
    expected = dict.fromkeys(range(300, 600), RetryDecision.UNKNOWN)
    expected |= dict.fromkeys(REFUSALS, RetryDecision.RAISE) | {429: RetryDecision.REPEAT}
    assert {status: submit(status, ENVELOPE) for status in expected} == expected
