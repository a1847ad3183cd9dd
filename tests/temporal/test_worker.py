"""Workers in this process, on a real Temporal server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import attrs
import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError

from foxapi_async import ConfigurationError, Journal, Limits, PhotaImage, Session
from foxapi_async.emulator import Delay, Drop, Emulator, Fate, Fault, error
from foxapi_async.temporal import (
    Batch,
    GenerateImages,
    Generation,
    GenerationResult,
    SessionWorker,
    generate_images,
)
from tests.temporal.poster import Poster

pytestmark = [pytest.mark.ordinary_loop, pytest.mark.once, pytest.mark.much]


@attrs.frozen
class Shop:
    """What the workers of a test share."""

    client: Client
    emulator: Emulator
    queue: str
    folder: Path

    @property
    def journal(self) -> Journal:
        return Journal(self.folder / "journal.sqlite")

    @property
    def pictures(self) -> set[str]:
        return {path.stem for path in (self.folder / "out").glob("*.png")}

    @asynccontextmanager
    async def worker(self, *workflows: type, saves: bool = True) -> AsyncIterator[SessionWorker]:
        """Run a worker within the block; then drain it."""
        limits = Limits(outputs=4)
        async with Session(
            "sk-emulator", base_url=self.emulator.url, journal=self.journal, limits=limits
        ) as session:
            worker = SessionWorker(
                self.client,
                session,
                task_queue=self.queue,
                directory=self.folder / "out" if saves else None,
                workflows=workflows,
            )
            running = asyncio.create_task(worker.run())
            try:
                yield worker
            finally:
                worker.stop()
                await running

    async def generate(
        self, keys: list[str], *, job: str = "job", size: int = 100
    ) -> dict[str, GenerationResult]:
        run = generate_images(
            self.client,
            generations(keys),
            job=f"{job}-{self.queue}",
            task_queue=self.queue,
            size=size,
            heartbeat_timeout=2,
        )
        async with run:
            return {result.key: result async for result in run}

    async def batch(self, keys: list[str]):
        return await self.client.start_workflow(
            GenerateImages.run,
            Batch(generations=generations(keys), heartbeat_timeout=2),
            id=f"batch-{self.queue}",
            task_queue=self.queue,
        )


def generations(keys: list[str]) -> list[Generation]:
    return [Generation.of(PhotaImage(f"fox {key}"), key) for key in keys]


@pytest.fixture
def shop(client: Client, emulator: Emulator, queue: str, tmp_path: Path) -> Shop:
    return Shop(client, emulator, queue, tmp_path)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - another process sets no event
        await anyio.sleep(0.02)


async def test_a_job_is_generated_saved_and_not_paid_for_again(shop: Shop):
    keys = [f"k{number}" for number in range(14)]
    async with shop.worker():
        # With 40 events a workflow of 14 continues as new.
        first = await shop.generate(keys)
        again = await shop.generate(keys[:4])
    assert set(first) == shop.pictures == set(keys)
    assert {result.status for result in first.values()} == {"completed"}
    assert again == {key: first[key] for key in keys[:4]}
    assert first["k3"].files == ["k3.png"]
    assert shop.emulator.counters.images_billed == 14


async def test_what_cannot_end_otherwise_is_listed(shop: Shop):
    def on(key: str):
        return lambda call: call.prompt == f"fox {key}"

    shop.emulator.script(
        Fault("submit", Drop(carried_out=True), when=on("unknown")),
        Fault("submit", error(400, code="bad"), when=on("refused")),
    )
    async with shop.worker():
        results = await shop.generate(["unknown", "refused", "good"])
        again = await shop.generate(["unknown"])
        assert shop.emulator.counters.images_billed == 2
        shop.emulator.script(Fault("submit", error(402, code="insufficient_quota"), times=None))
        batch = Batch(generations=generations(["k1", "k2", "k3"]), window=1)
        broke = await shop.client.execute_workflow(
            GenerateImages.run, batch, id=f"broke-{shop.queue}", task_queue=shop.queue
        )
    status = {key: result.status for key, result in results.items()}
    assert status == {"unknown": "unknown", "refused": "rejected", "good": "completed"}
    assert again["unknown"].status == "unknown"
    assert results["refused"].error_code == "bad"
    # A refusal of the key ends the batch.
    assert [each.status for each in broke] == ["rejected", "not_submitted", "not_submitted"]
    assert shop.emulator.counters.images_billed == 2


async def test_a_worker_that_drains_leaves_its_tasks_to_the_next(shop: Shop):
    shop.emulator.script(Fault("submit", Delay(0.3, carried_out=True), times=4))
    keys = [f"k{number}" for number in range(4)]
    async with shop.worker():
        handle = await shop.batch(keys)
        await until(lambda: shop.emulator.counters.posts >= 2)
    assert shop.journal.count().keys() <= {"accepted", "planned", "completed", "saved"}
    async with shop.worker():
        results = await handle.result()
    assert {result.status for result in results} == {"completed"}
    assert shop.pictures == set(keys)
    assert shop.emulator.counters.images_billed == 4


async def test_cancelling_leaves_paid_tasks_for_a_later_run(shop: Shop):
    shop.emulator.script(Fault("submit", Fate(duration=2.0), times=4))
    keys = [f"k{number}" for number in range(6)]
    async with shop.worker():
        handle = await shop.batch(keys)
        await until(lambda: shop.emulator.counters.images_billed >= 4)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
        assert isinstance(caught.value.cause, CancelledError)
        results = await shop.generate(keys)
    assert {result.status for result in results.values()} == {"completed"}
    assert shop.emulator.counters.images_billed == 6


async def test_stopping_brings_home_what_is_paid_for(shop: Shop):
    # Nobody learns that the first tasks have ended, so that they keep their slots.
    shop.emulator.script(Fault("poll", error(503), times=None))
    keys = [f"k{number}" for number in range(8)]
    results: list[GenerationResult] = []
    async with shop.worker():
        run = generate_images(
            shop.client,
            generations(keys),
            job=shop.queue,
            task_queue=shop.queue,
            size=5,
            heartbeat_timeout=2,
        )
        async with run:
            await until(lambda: shop.emulator.counters.images_billed >= 4)
            # As a signal handler does, outside of any task.
            asyncio.get_running_loop().call_soon(run.stop, "enough")
            async for result in run:
                results.append(result)
                if Counter(each.status for each in results) == {"not_submitted": 4}:
                    shop.emulator.faults.clear()
    assert Counter(each.status for each in results) == {"not_submitted": 4, "completed": 4}
    assert shop.emulator.counters.images_billed == len(shop.pictures) == 4


async def test_generate_in_a_workflow_of_ones_own(shop: Shop):
    async with shop.worker(Poster, saves=False):
        options = {"task_queue": shop.queue, "result_type": GenerationResult}
        result = await shop.client.execute_workflow(
            Poster.run, "foxes", id=f"poster-{shop.queue}", **options
        )
        assert result.status == "completed"
        assert len(result.urls) == 1
        shop.emulator.script(Fault("submit", error(400, code="bad")))
        with pytest.raises(WorkflowFailureError) as caught:
            await shop.client.execute_workflow(
                Poster.run, "wolves", id=f"wolves-{shop.queue}", **options
            )
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "rejected"


async def test_a_worker_needs_a_journal(client: Client, emulator: Emulator):
    async with Session("sk-emulator", base_url=emulator.url) as session:
        with pytest.raises(ConfigurationError, match="journal"):
            SessionWorker(client, session)
