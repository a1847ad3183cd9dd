"""What the service does when nothing goes wrong."""

from __future__ import annotations

import anyio

from tests.emulator.client import emulated


async def test_a_task_goes_from_pending_through_processing_to_completed():
    async with emulated() as (emulator, client):
        task = await client.submit(num_outputs=2)
        assert task["status"] == "pending"
        assert task["task_info"] == {"can_cancel": True, "estimated_time": 10.0}
        await anyio.sleep(5)
        assert (await client.poll(task["id"]))["status"] == "processing"
        await anyio.sleep(6)
        done = await client.poll(task["id"])
        assert (done["status"], done["progress"], len(done["results"])) == ("completed", 100, 2)
        status, headers, picture = await client.ask("GET", done["results"][1]["url"])
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert picture.startswith(b"\x89PNG")
        assert emulator.counters.images_billed == 2
