"""The edge, the key, the limits: what happens to a request before the service sees it."""

from __future__ import annotations

import json

import anyio
import pytest

from tests.emulator.client import FOX, IMAGES, emulated


async def test_a_wrong_key_and_a_missing_one_are_refused_and_counted():
    async with emulated(api_key=["sk-one", "sk-emulator"]) as (emulator, client):
        for authorization in ("Bearer sk-wrong", "sk-emulator", "Basic sk-emulator", ""):
            status, _, body = await client.ask(
                "POST", IMAGES, json=FOX, headers={"Authorization": authorization}
            )
            assert status == 401
            assert body["error"]["type"] == "authentication_error"
        assert (await client.ask("GET", "/v1/models", headers={"Authorization": "Bearer sk-one"}))[
            0
        ] == 200
        assert emulator.counters.wrong_keys == 4
        assert emulator.counters.tasks == 0


async def test_a_key_that_reaches_a_file_is_counted_as_leaked():
    async with emulated(duration=0) as (emulator, client):
        task = await client.poll((await client.submit())["id"])
        url = task["results"][0]["url"]
        await client.ask("GET", url, headers={"Authorization": ""})
        assert emulator.counters.keys_leaked == 0
        await client.ask("GET", url)
        assert (emulator.counters.keys_leaked, emulator.counters.downloads) == (1, 2)


@pytest.mark.parametrize("path", [IMAGES, "/v1/files/upload/url", "/files/x/0.png"])
async def test_the_edge_turns_away_the_agent_of_urllib(path):
    async with emulated() as (_, client):
        status, headers, body = await client.ask(
            "POST", path, json=FOX, headers={"User-Agent": "Python-urllib/3.11"}
        )
        assert (status, body) == (403, b"error code: 1010")
        assert headers["Content-Type"].startswith("text/plain")


async def test_a_wrong_base_url_meets_a_portal_page_and_an_unknown_path_an_envelope():
    async with emulated() as (_, client):
        status, headers, _ = await client.ask("POST", "/api/v1/images/generations", json=FOX)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        status, _, body = await client.ask("POST", "/v1/images/generation", json=FOX)
        assert (status, body["error"]["type"]) == (404, "not_found")
        assert (await client.ask("GET", IMAGES))[0] == 404
        assert (await client.ask("GET", "/v1/tasks/task-nobody"))[0] == 404


async def test_a_body_that_is_no_json_object_is_refused():
    async with emulated() as (emulator, client):
        for options in (
            {"data": json.dumps(FOX), "headers": {"Content-Type": "text/plain"}},
            {"data": b"{", "headers": {"Content-Type": "application/json"}},
            {"data": b"\xff", "headers": {"Content-Type": "application/json"}},
            {"json": [FOX]},
        ):
            status, _, body = await client.ask("POST", IMAGES, **options)
            assert (status, body["error"]["type"]) == (400, "invalid_request_error")
        assert (emulator.counters.posts, emulator.counters.tasks) == (4, 0)


async def test_a_body_without_end_is_cut_off_with_the_page_of_the_edge():
    async def much():
        for _ in range(8):
            yield b"x" * 1024

    headers = {"Content-Type": "application/json"}
    async with emulated(body_limit=2048) as (_, client):
        for data in (b"x" * 4096, much()):
            status, answered, _ = await client.ask("POST", IMAGES, data=data, headers=headers)
            assert (status, answered["Content-Type"]) == (413, "text/html; charset=utf-8")

        async def little():
            yield json.dumps(FOX).encode()

        assert (await client.ask("POST", IMAGES, data=little(), headers=headers))[0] == 200


async def test_an_extra_field_is_refused_and_bills_nothing():
    async with emulated() as (emulator, client):
        status, _, body = await client.ask("POST", IMAGES, json=FOX | {"seed": 1})
        assert (status, body["error"]["type"]) == (422, "invalid_request_error")
        assert emulator.counters.tasks == 0


async def test_more_images_in_flight_than_allowed_are_sent_back_until_there_is_room():
    async with emulated(max_images_in_flight=3) as (emulator, client):
        await client.submit(num_outputs=2)
        status, headers, _ = await client.ask("POST", IMAGES, json=FOX | {"num_outputs": 2})
        assert (status, headers["Retry-After"]) == (429, "10")
        await client.submit(num_outputs=1)
        await anyio.sleep(11)
        await client.submit(num_outputs=3)
        counters = emulator.counters
        assert counters.max_images_in_flight == counters.images_in_flight == 3
        assert (counters.images_billed, counters.answered_429) == (6, 1)


async def test_the_pause_for_room_is_bounded_when_no_task_will_ever_end():
    async with emulated(max_images_in_flight=1, duration=float("inf")) as (_, client):
        await client.submit()
        _, headers, _ = await client.ask("POST", IMAGES, json=FOX)
        assert headers["Retry-After"] == "60"


@pytest.mark.parametrize("limit", ["submissions_per_second", "requests_per_second"])
async def test_submissions_above_the_rate_are_told_when_to_come_back(limit):
    async with emulated(**{limit: 2}) as (emulator, client):
        statuses = [(await client.ask("POST", IMAGES, json=FOX))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        await anyio.sleep(1)
        assert (await client.ask("POST", IMAGES, json=FOX))[0] == 200
        assert emulator.counters.tasks == 3


async def test_polls_have_a_rate_of_their_own_and_files_have_none():
    async with emulated(polls_per_second=1, retry_after="absent", duration=0) as (_, client):
        task = await client.poll((await client.submit())["id"])
        status, headers, body = await client.ask("GET", f"/v1/tasks/{task['id']}")
        assert (status, "Retry-After" in headers) == (429, False)
        assert body["error"]["type"] == "rate_limit_error"
        for _ in range(3):
            assert (await client.ask("GET", task["results"][0]["url"]))[0] == 200
        await client.submit()


@pytest.mark.parametrize("latency", [4.0, (3.0, 5.0)])
async def test_latency_passes_on_both_sides_of_the_effect(latency):
    async with emulated(latency=latency) as (emulator, client):
        began = anyio.current_time()
        task = await client.submit()
        took = anyio.current_time() - began
        created = emulator.tasks[task["id"]].created_at - began
        assert 2.9 < took < 6
        assert 1.4 < created < took - 1


async def test_the_balance_ends():
    async with emulated(credits=90_000) as (_, client):
        await client.submit(resolution="4K")
        status, _, body = await client.ask("POST", IMAGES, json=FOX | {"num_outputs": 2})
        assert (status, body["error"]["type"]) == (402, "insufficient_quota")
        await client.submit()
        _, _, account = await client.ask("GET", "/v1/account/credits")
        assert account["data"]["token"] == {
            "remaining_credits": 0,
            "used_credits": 90_000,
            "unlimited_credits": False,
        }


async def test_a_model_that_is_not_enabled_and_too_many_outputs_are_refused():
    async with emulated(unavailable_models=["phota-image"], max_outputs=4) as (_, client):
        status, _, body = await client.ask("POST", IMAGES, json=FOX)
        assert (status, body["error"]["code"]) == (422, "model_not_found")
        _, _, models = await client.ask("GET", "/v1/models")
        assert "phota-image" not in [each["id"] for each in models["data"]]
        many = {"model": "gpt-image-2", "prompt": "x", "num_outputs": 5}
        assert (await client.ask("POST", IMAGES, json=many))[0] == 422


async def test_the_last_calls_are_kept():
    async with emulated() as (emulator, client):
        await client.submit()
        await client.ask("GET", "/v1/models?x=1", headers={"X-Mine": "1"})
        first, second = emulator.calls
        assert (first.route, first.prompt, first.payload) == ("submit", "a fox", FOX)
        assert (second.target, second.query["x"]) == ("/v1/models?x=1", "1")
        assert second.headers["X-Mine"] == "1"
