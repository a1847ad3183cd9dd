"""Which ids an unclear answer names, and whether a task of such an id is ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async.http.candidates import MOST, find_candidates, is_ours
from foxapi_async.http.ids import TASK_ID
from foxapi_async.models import Task

ID = "task-unified-1760000000-k3v9x2ab"
POSTED, NOW = 1_760_000_000.7, 1_760_000_003.2


def find(said: object) -> tuple[str, ...]:
    text = said if isinstance(said, str) else json.dumps(said)
    try:
        payload = json.loads(text)
    except ValueError:
        payload = None
    return find_candidates(text, payload)


@pytest.mark.parametrize(
    "said",
    [
        {"id": ID},
        {"task_id": ID},
        {"code": 200, "message": "x" * 300, "data": {"id": ID}},
        {"data": {"task_id": ID, "id": None}},
        {"data": [{"task_id": ID, "status": "submitted"}]},
        {"data": ID},
        {"error": {"message": f"task {ID} was created, but its state cannot be read"}},
        {"result": {"job": {"uuid": ID}}},
        f'{{"id": "{ID}", "status": "pen',
        f'{{"code": 200, "data": {{"task_id": "{ID}"',
        f"<html>Your task {ID}.</html>",
        f"Location: /v1/tasks/{ID}\n\n",
        f'{{"body": "{{\\"id\\": \\"{ID}\\"}}"}}',
        f"Bad status line:\n\n  b'{ID}'\n    ^",
    ],
    ids=repr,
)
def test_the_id_is_found(said):
    assert find(said) == (ID,)


@pytest.mark.parametrize(
    "said",
    [
        '{"id": "a.7", "sta',
        "{'id': 'a.7', 'data': None}",
        '{"task_id":"a.7"} trailing',
        r"{\"id\": \"a.7\", ",
    ],
)
def test_an_id_of_another_form_is_found_in_fields_of_broken_json(said):
    assert find(said) == ("a.7",)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "bad gateway",
        {"id": ""},
        {"id": "../tasks"},
        {"id": 7},
        {"id": None, "data": None},
        {"error": {"id": "err-1"}},
        {"error": {"message": "task-1 is unknown"}},
        f"x{ID}",
        '{"id": "task-',
        '{"request_id": "a.7", ',
    ],
    ids=repr,
)
def test_what_is_no_task_id_is_not_found(said):
    assert find(said) == ()


def test_known_fields_come_first_and_the_number_is_bounded():
    other = ID.replace("k3", "q9")
    assert find({"message": other, "id": "req-1", "data": {"task_id": ID}}) == ("req-1", ID, other)
    assert len(find(" ".join(f"{ID[:-1]}{n}" for n in range(9)))) == MOST


@given(st.text() | st.recursive(st.text(max_size=5), lambda inner: st.dictionaries(
    st.sampled_from(["id", "task_id", "data", "error"]), inner | st.lists(inner))))  # fmt: skip
def test_whatever_is_found_is_safe_in_a_path(said):
    for found in find(said):
        assert TASK_ID.fullmatch(found)


def ours(created: float | None = POSTED, model: str | None = "phota-image", **times: float) -> bool:
    moment = None if created is None else datetime.fromtimestamp(created, UTC)
    task = Task(ID, model=model, created=moment)
    return is_ours(task, model="phota-image", **{"posted": POSTED, "now": NOW, **times})


@pytest.mark.parametrize("created", [int(POSTED), int(POSTED - 1), int(NOW)])
def test_a_task_that_was_created_since_the_post_is_ours(created):
    assert ours(created)


@pytest.mark.parametrize("created", [POSTED - 2.1, POSTED - 86_400, NOW + 2, 0, None])
def test_a_task_of_another_time_is_not_ours(created):
    assert not ours(created)


@pytest.mark.parametrize(
    "model",
    [None, "phota-image", "Phota-Image", "google/phota-image", "phota-image[4k|fast]",
     "phota-image-20260101", "phota-image@2026-01-01", "phota-image-latest"],
)  # fmt: skip
def test_the_model_may_have_a_vendor_a_variant_or_a_date(model):
    assert ours(model=model)


@pytest.mark.parametrize(
    "model", ["phota-image-edit", "phota-image-enhance", "gpt-image-2", "phota", "phota-image-2"]
)
def test_a_task_of_another_model_is_not_ours(model):
    assert not ours(model=model)


def test_a_long_run_of_backslashes_takes_no_long_time():
    text = "\\" * 1_000_000 + '{\\"id\\": \\"task-1\\"'
    assert find_candidates(text, None) == ("task-1",)
