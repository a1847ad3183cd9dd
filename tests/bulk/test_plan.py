"""What a job still costs: the step for each status in the journal."""

from __future__ import annotations

import json
from pathlib import Path

from foxapi_async import (
    GenerationRequest,
    Journal,
    PhotaImage,
    PhotaImageEnhance,
    TaskStatus,
)
from foxapi_async.bulk import Job, JobLine, Selection
from foxapi_async.bulk.money.model_counts import ModelCounts, ModelTally
from foxapi_async.bulk.plan import STEPS, Step, plan_of, step_for
from foxapi_async.journal import JournalStatus, SavedFile

REQUESTS = {
    key: PhotaImage(key, num_outputs=number)
    for number, key in enumerate(("new", "sent", "done", "bad", "gone", "home"), 1)
}


def test_every_status_has_its_step():
    assert set(STEPS) == set(JournalStatus)
    assert step_for(None) is Step.SUBMIT


def test_only_requests_that_were_certainly_not_billed_are_submitted_by_default():
    submitted = {status for status, step in STEPS.items() if step is Step.SUBMIT}
    assert submitted == {JournalStatus.PLANNED, JournalStatus.REJECTED}


async def fill(journal: Journal, directory: Path) -> None:
    async with journal:
        for key, request in REQUESTS.items():
            if key == "new":
                continue
            claim = await journal.claim(key, request)
            await claim.sending()
            if key == "gone":
                await claim.unknown("no answer")
            else:
                await claim.accepted(f"task-{key}")
        journal.ended("task-done", TaskStatus.COMPLETED)
        journal.ended("task-bad", TaskStatus.FAILED)
        (directory / "home.png").write_bytes(b"png")
        await journal.saved("task-home", [SavedFile("elsewhere/home.png", 3, "abc", 0)])


async def test_requests_and_images_are_counted_by_step(tmp_path: Path):
    journal = Journal(tmp_path / "journal.sqlite")
    await fill(journal, tmp_path)
    asked = [JobLine(line, key, request) for line, (key, request) in enumerate(REQUESTS.items(), 1)]
    plan = plan_of(asked, journal, tmp_path)
    assert (plan.requests, plan.outputs) == (6, 21)
    assert (plan.submit, plan.in_flight, plan.fetch, plan.done) == (1, 1, 1, 1)
    assert (plan.submit_outputs, plan.in_flight_outputs, plan.fetch_outputs) == (1, 2, 3)
    assert (plan.failed_outputs, plan.unknown_outputs, plan.done_outputs) == (4, 5, 6)
    assert plan.outputs_to_submit() == 1
    assert plan.outputs_to_submit(retry_failed=True) == 5
    assert plan.outputs_to_submit(retry_failed=True, retry_unknown=True) == 10
    assert plan.to_submit(retry_failed=True, retry_unknown=True) == 3
    assert plan.conflicts == ()


async def test_a_missing_picture_counts_as_to_be_fetched(tmp_path: Path):
    journal = Journal(tmp_path / "journal.sqlite")
    await fill(journal, tmp_path)
    asked = [JobLine(1, "home", REQUESTS["home"])]
    (tmp_path / "home.png").write_bytes(b"pn")
    assert plan_of(asked, journal, tmp_path).fetch == 1
    (tmp_path / "home.png").unlink()
    assert plan_of(asked, journal, tmp_path).fetch == 1
    assert plan_of(asked, journal, None).done == 1


async def test_a_key_of_another_request_is_a_conflict_of_its_line(tmp_path: Path):
    journal = Journal(tmp_path / "journal.sqlite")
    await fill(journal, tmp_path)
    (conflict,) = plan_of([JobLine(9, "sent", PhotaImage("other"))], journal, None).conflicts
    assert (conflict.line, conflict.field) == (9, "key")
    assert "num_outputs 2 → 1" in conflict.message
    assert '"sent" → "other"' in conflict.message


def test_without_a_journal_everything_is_to_be_submitted(tmp_path: Path):
    asked = [JobLine(1, "a", PhotaImage("a"))]
    assert plan_of(asked, None, None).submit == 1
    assert plan_of(asked, Journal(tmp_path / "none.sqlite"), tmp_path).submit == 1


def test_models_are_counted_by_name_up_to_a_bound():
    tally = ModelTally()
    for number in range(150):
        tally.add(GenerationRequest(f"m{number}", {"num_outputs": 2}), "submit")
    tally.add(GenerationRequest("m0", {"num_outputs": 3}), "failed")
    first, *_, others = tally.counts()
    assert first == ModelCounts(model="m0", submit=1, submit_outputs=2, failed=1, failed_outputs=3)
    assert first.to_submit(retry_failed=True) == 2
    assert first.outputs_to_submit(retry_failed=True) == 5
    assert others == ModelCounts(model="", submit=50, submit_outputs=100)


def test_requests_in_4k_are_counted_apart_where_they_cost_twice_as_much():
    tally = ModelTally()
    for request in (
        PhotaImage("a", num_outputs=2, resolution="4K"),
        PhotaImage("b"),
        PhotaImageEnhance("https://files.example/a.png", resolution="4K"),
        GenerationRequest("phota-image", {"resolution": "4K"}),
    ):
        tally.add(request, "submit")
    assert {(each.model, each.is_double, each.submit_outputs) for each in tally.counts()} == {
        ("phota-image", True, 2),
        ("phota-image", False, 2),
        ("phota-image-enhance", False, 1),
    }


def test_the_plan_without_a_journal_is_that_of_the_lines(tmp_path: Path):
    path = tmp_path / "jobs.jsonl"
    lines = [
        {"prompt": "[[known]] and [[new]]", "num_outputs": 2},
        {"prompt": "[[new]]"},
        {"model": "gpt-image-2", "params": {"prompt": "a"}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = Job.read(path)
    for each in (job, job.select(Selection.parse(lines="2-3"))):
        expected = plan_of(each.lines(), None, tmp_path, None, ["known"])
        assert each.plan(None, tmp_path, profiles=["known"]) == expected
        assert [use.id for use in expected.profiles] == ["new"]
    assert [use.id for use in job.plan(None).profiles] == ["known", "new"]
