"""The answers to polls: both shapes, and every fate."""

from __future__ import annotations

import math

import anyio
import pytest

from foxapi_async.emulator import Fate, Fault
from tests.emulator.client import IMAGES, emulated


async def _told(fate: Fate, polls: int = 1, *, after: float = 11.0, **query: str):
    """Return the answers to the first polls of a task with this fate."""
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", fate))
        task = await client.submit(num_outputs=3)
        await anyio.sleep(after)
        return [await client.poll(task["id"], **query) for _ in range(polls)]


async def test_a_submission_without_an_estimate_is_answered_with_usage_alone():
    async with emulated(estimate="missing") as (_, client):
        task = await client.submit()
        assert sorted(task) == ["id", "model", "object", "status", "type", "usage"]
        assert task["usage"] == {"credits_reserved": 30_000}
        assert "task_info" not in await client.poll(task["id"])


async def test_the_older_shape_has_links_and_size():
    async with emulated(shape="output", duration=0) as (_, client):
        task = await client.submit(num_outputs=2, aspect_ratio="3:4")
        done = await client.poll(task["id"])
        assert done["output"]["url"] == done["output"]["urls"][0]
        assert len(done["output"]["urls"]) == 2
        assert "results" not in done
        assert (done["output"]["width"], done["output"]["height"]) == (56, 74)
        assert done["task_info"] == {"can_cancel": False, "estimated_time": 0}


async def test_the_older_shape_can_fail_and_can_be_empty():
    async with emulated(shape="output", duration=0) as (emulator, client):
        emulator.script(Fault("submit", Fate(ends_as="failed")), Fault("submit", Fate(outputs=0)))
        failed = await client.poll((await client.submit())["id"])
        assert sorted(failed["error"]) == ["code", "message"]
        empty = await client.poll((await client.submit())["id"])
        assert empty["output"]["urls"] == []


async def test_bare_links_are_strings():
    (done,) = await _told(Fate(shape="strings"))
    assert [each.startswith("http://127.0.0.1:") for each in done["results"]] == [True] * 3


async def test_results_may_come_late():
    told = await _told(Fate(empty_looks=2), 3)
    assert [each["status"] for each in told] == ["completed"] * 3
    assert [each["results"] is None for each in told] == [True, True, False]


async def test_results_may_come_some_seconds_after_the_end():
    fate = Fate(empty_for=5)
    assert (await _told(fate))[0]["results"] is None
    assert len((await _told(fate, after=16.0))[0]["results"]) == 3


async def test_results_may_be_hidden_from_polls_that_synchronise():
    fate = Fate(empty_when_synced=True)
    assert (await _told(fate, sync_upstream="true"))[0]["results"] is None
    assert len((await _told(fate, sync_upstream="false"))[0]["results"]) == 3


async def test_polls_return_what_the_script_says_and_then_the_truth():
    answers = ["processing", "pending", "reviewing", {"status": "processing", "progress": -7}]
    told = await _told(Fate(looks=answers), 5)
    assert [each["status"] for each in told] == [
        "processing",
        "pending",
        "reviewing",
        "processing",
        "completed",
    ]
    assert told[3]["progress"] == -7
    assert len(told[4]["results"]) == 3


async def test_words_may_be_spelt_otherwise():
    (done,) = await _told(Fate(spelling=str.upper))
    assert done["status"] == "COMPLETED"
    assert len(done["results"]) == 3


@pytest.mark.parametrize("word", ["cancelled", "canceled", "expired"])
async def test_a_task_may_end_with_another_word(word):
    (done,) = await _told(Fate(ends_as=word))
    assert (done["status"], done["results"], done["error"]) == (word, None, None)


async def test_a_failed_task_has_an_error_of_its_own_type():
    (failed,) = await _told(Fate(ends_as="failed"))
    assert failed["results"] is None
    assert failed["error"]["code"] == "generation_failed"
    assert failed["error"]["type"] == "task_error"


@pytest.mark.parametrize("error", [None, "boom", {"code": 7}, []])
async def test_a_failed_task_may_have_no_error_or_a_malformed_one(error):
    (failed,) = await _told(Fate(ends_as="failed", error=error))
    assert (failed["status"], failed["error"]) == ("failed", error)


async def test_a_share_of_tasks_fails():
    async with emulated(fail_rate=0.5, duration=0, seed=3) as (emulator, client):
        for _ in range(40):
            await client.submit()
        failed = sum(task.status == "failed" for task in emulator.tasks.values())
        assert 8 < failed < 32


async def test_there_may_be_fewer_results_than_asked_for_or_others():
    (done,) = await _told(Fate(outputs=1))
    assert len(done["results"]) == 1
    (done,) = await _told(Fate(items=[{"text": "a"}, "b", None]))
    assert done["results"] == [{"text": "a"}, "b", None]
    (done,) = await _told(Fate(items=[{"text": "a"}, "b"], shape="output"))
    assert done["output"]["urls"] == [None, "b"]


async def test_a_task_may_be_unknown_in_its_first_seconds():
    async with emulated() as (emulator, client):
        emulator.script(Fault("submit", Fate(hidden_for=1)))
        task = await client.submit()
        status, _, body = await client.ask("GET", f"/v1/tasks/{task['id']}")
        assert (status, body["error"]["type"]) == (404, "not_found")
        await anyio.sleep(1)
        assert (await client.poll(task["id"]))["status"] == "processing"


async def test_a_task_may_never_end():
    (told,) = await _told(Fate(duration=math.inf, estimate=45), after=1e6)
    assert told["status"] == "pending"
    assert told["task_info"]["estimated_time"] == 45


async def test_polls_that_synchronise_are_recorded_and_nonsense_is_refused():
    async with emulated() as (emulator, client):
        task = await client.submit()
        await client.poll(task["id"], sync_upstream="true")
        await client.poll(task["id"])
        status, _, _ = await client.ask("GET", f"/v1/tasks/{task['id']}?sync_upstream=perhaps")
        assert status == 422
        view = emulator.tasks[task["id"]]
        assert (view.polls, view.synced_polls) == (2, 1)


async def test_a_profile_is_a_result_without_a_file():
    async with emulated(duration=0) as (_, client):
        _, _, task = await client.ask(
            "POST",
            IMAGES,
            json={"model": "phota-create-profile", "image_archive_url": "https://a.example/me.zip"},
        )
        (result,) = (await client.poll(task["id"]))["results"]
        assert result["result_type"] == "profile"
        assert result["profile_id"].startswith("pf_")


@pytest.mark.parametrize(
    ("path", "model", "kind", "signature"),
    [
        ("/v1/videos/generations", "veo-3.1-text-to-video", "video", b"\x00\x00\x00\x18ftyp"),
        ("/v1/audios/generations", "some-voice", "audio", b"RIFF"),
        ("/v1/audio/generations", "suno-v4", "audio", b"RIFF"),
        ("/v1/run/generations", "doc2x-v3", "document", b"PK\x03\x04"),
    ],
)
async def test_other_kinds_have_files_of_their_own(path, model, kind, signature):
    async with emulated(duration=0) as (emulator, client):
        _, _, task = await client.ask("POST", path, json={"model": model})
        assert (task["type"], task["object"]) == (kind, f"{kind}.generation.task")
        (result,) = (await client.poll(task["id"]))["results"]
        _, _, content = await client.ask("GET", result["url"])
        assert content.startswith(signature)
        assert emulator.tasks[task["id"]].kind == kind


async def test_a_transcription_is_words():
    async with emulated(duration=0) as (_, client):
        _, _, task = await client.ask("POST", "/v1/audios/generations", json={"model": "scribe-v2"})
        (result,) = (await client.poll(task["id"]))["results"]
        assert " ".join(word["text"] for word in result["words"]) == result["text"]
