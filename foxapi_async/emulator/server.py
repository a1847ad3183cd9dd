"""The public class of the emulator: options, start and stop, counters, tasks and script."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
from aiohttp import web

from foxapi_async.emulator.canvas import load_pillow
from foxapi_async.emulator.faults import Call, Fault, Script
from foxapi_async.emulator.files import Signer, UploadStore
from foxapi_async.emulator.gallery import Gallery
from foxapi_async.emulator.limits import RetryAfter, bucket
from foxapi_async.emulator.middleware import Admission, Exchange
from foxapi_async.emulator.pictures import Format
from foxapi_async.emulator.service import Conduct, Service
from foxapi_async.emulator.shapes import Shape
from foxapi_async.emulator.store import Counters, Ledger, TaskView, TaskViews
from foxapi_async.emulator.task_lifecycle import Duration, Estimate, LogNormal

HOST = "127.0.0.1"
_DAY = 86_400.0
_SHUTDOWN = 0.5
"""Seconds that requests in progress have to end when the server stops."""


class Emulator:
    """A local FoxAPI on loopback.

    ``async with Emulator() as emulator:`` starts it; ``emulator.url`` is then the base URL. It may
    be stopped and started again; URL, tasks and counters stay. All times are in seconds.

    Args:
        api_key: The accepted key, or several.
        port: The port to listen on; 0 takes a free one.
        files_port: A separate port for results and uploads, so that their origin differs from that
            of the API; 0 takes a free one, None serves them from `port`.
        seed: Seed of durations, failures, ids and pictures.
        duration: How long tasks take: a number, a range (low, high), a `LogNormal`, or a function
            of payload and random generator.
        estimate: The `estimated_time` that is announced: "exact", "missing", a number, `Times` (a
            wrong factor), a function of payload and true duration, or any other value as it is.
        speed: How many times faster than in reality tasks run; `duration` and numbers in
            `estimate` are divided by it, everything else is not.
        max_images_in_flight: More than these are answered 429.
        requests_per_second: The limit for all API routes; the requests of one second may arrive at once.
        submissions_per_second: The limit for submissions.
        polls_per_second: The limit for polls.
        retry_after: The format of `Retry-After` in these 429s: "seconds", "date", "absurd" or
            "absent".
        fail_rate: The share of tasks that end as failed, 0 to 1.
        credits: The balance, 30,000 for an image (60,000 in 4K); beyond it 402. None never ends.
        max_outputs: The greatest accepted `num_outputs` (422 beyond); None for any.
        unavailable_models: Models that are answered 422 `model_not_found`.
        shape: "results" for the current shape of a finished task, "output" for the older one.
        latency: Seconds between request and answer: a number or a range. Half of them pass before
            the request takes effect.
        url_lifetime: How long the link to a result is valid.
        upload_lifetime: How long an uploaded file is kept.
        storage: Bytes of all uploads together.
        file_limit: Bytes of one upload; beyond it 413 in the format of the service.
        body_limit: Bytes of one request; beyond it 413 with an HTML page of the CDN.
        picture_scale: Factor for width and height of pictures; 1/16 makes them cheap.
        picture_format: "png", "jpeg" or "webp", unless a request specifies another.
        faults: The script; see `script`.

    Raises:
        PillowMissingError: on start, if the extra `foxapi-async[emulator]` is not installed.
    """

    def __init__(
        self,
        *,
        api_key: str | Sequence[str] = "sk-emulator",
        port: int = 0,
        files_port: int | None = None,
        seed: int = 0,
        duration: Duration = LogNormal(),  # noqa: B008
        estimate: Estimate = "exact",
        speed: float = 1.0,
        max_images_in_flight: int | None = None,
        requests_per_second: float | None = None,
        submissions_per_second: float | None = None,
        polls_per_second: float | None = None,
        retry_after: RetryAfter = "seconds",
        fail_rate: float = 0.0,
        credits: int | None = None,  # noqa: A002
        max_outputs: int | None = None,
        unavailable_models: Sequence[str] = (),
        shape: Shape = "results",
        latency: float | tuple[float, float] = 0.0,
        url_lifetime: float = _DAY,
        upload_lifetime: float = 3 * _DAY,
        storage: int = 256 * 2**20,
        file_limit: int = 20 * 2**20,
        body_limit: int = 100 * 2**20,
        picture_scale: float = 1.0,
        picture_format: Format = "png",
        faults: Sequence[Fault] = (),
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be above 0: {speed}")
        self._ports = [port] if files_port is None else [port, files_port]
        self._runner: web.ServerRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origin = (time.time(), 0.0)
        self._stopped = anyio.Event()
        self.faults: Script = Script(random.Random(f"faults {seed}"))  # noqa: S311
        self.faults.add(*faults)
        self._ledger = Ledger(random.Random(f"ids {seed}"))  # noqa: S311
        self._service = Service(
            conduct=Conduct(
                duration=duration,
                estimate=estimate,
                speed=speed,
                fail_rate=fail_rate,
                credits=credits,
                max_images_in_flight=max_images_in_flight,
                max_outputs=max_outputs,
                retry_after=retry_after,
                shape=shape,
                unavailable_models=frozenset(unavailable_models),
                url_lifetime=url_lifetime,
                picture_scale=picture_scale,
                picture_format=picture_format,
                seed=seed,
            ),
            ledger=self._ledger,
            uploads=UploadStore(upload_lifetime, storage),
            signer=Signer(random.Random(f"links {seed}").randbytes(16)),  # noqa: S311
            gallery=Gallery(),
            clock=self._now,
            wall=self._wall,
            lives=random.Random(f"lives {seed}"),  # noqa: S311
        )
        admission = Admission(
            keys=frozenset([api_key] if isinstance(api_key, str) else api_key),
            requests=bucket(requests_per_second),
            submissions=bucket(submissions_per_second),
            polls=bucket(polls_per_second),
            latency=_latency(latency, random.Random(f"latency {seed}")),  # noqa: S311
            body_limit=body_limit,
            file_limit=file_limit,
        )
        self._exchange = Exchange(self._service, admission, self.faults, self._stopped)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start to listen; the state from before a `stop` is kept."""
        if self._runner is not None:
            raise RuntimeError("the emulator is running already")
        await anyio.to_thread.run_sync(load_pillow)
        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._origin = (time.time(), self._loop.time())
        self._stopped = self._exchange.stopped = anyio.Event()
        server = web.Server(self._exchange, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        await self._runner.setup()
        try:
            for port in self._ports:
                await web.TCPSite(self._runner, HOST, port, backlog=1024).start()
        except OSError:
            await self.stop()
            raise
        self._ports = [address[1] for address in self._runner.addresses]
        self._service.files_url = self.files_url

    async def stop(self) -> None:
        """Stop listening and close connections; tasks and counters stay."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._stopped.set()
            with anyio.CancelScope(shield=True):
                await runner.cleanup()

    @property
    def url(self) -> str:
        """Return the base URL of the API, without a slash at the end."""
        return f"http://{HOST}:{self._ports[0]}"

    @property
    def files_url(self) -> str:
        """Return the origin of result files and uploads; equal to `url` without a `files_port`."""
        return f"http://{HOST}:{self._ports[-1]}"

    @property
    def counters(self) -> Counters:
        """Return a snapshot of what the server has counted."""
        return self._ledger.counters(self._now())

    @property
    def tasks(self) -> Mapping[str, TaskView]:
        """Return all tasks by id, in the order of their creation."""
        return TaskViews(self._ledger.tasks, self._now)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Return the last 1,000 accepted requests, oldest first."""
        return tuple(self._exchange.calls)

    def script(self, *faults: Fault) -> None:
        """Append faults to the script; they hit requests from now on."""
        self.faults.add(*faults)

    def _now(self) -> float:
        return self._loop.time() if self._loop is not None else 0.0

    def _wall(self) -> float:
        wall, loop_time = self._origin
        return wall + self._now() - loop_time


def _latency(
    latency: float | tuple[float, float], rng: random.Random
) -> Callable[[], float] | None:
    if isinstance(latency, tuple):
        return partial(rng.uniform, *latency)
    return (lambda: latency) if latency > 0 else None
