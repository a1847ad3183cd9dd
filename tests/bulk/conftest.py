"""A job in a folder that can be run repeatedly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foxapi_async import Limits, Polling, Session
from foxapi_async.bulk import Job, Result, Summary, run_job
from foxapi_async.emulator import Emulator


class JobFolder:
    """A job in a folder that can be run repeatedly."""

    def __init__(self, path: Path, emulator: Emulator) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self.emulator = emulator
        self.out = path / "out"
        self.out.mkdir()

    def write(self, *lines: dict[str, Any]) -> None:
        (self.path / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def session(self, **options: Any) -> Session:
        return Session(
            "sk-emulator",
            base_url=self.emulator.url,
            journal=self.out / "journal.sqlite",
            **{"polling": Polling(poll_cost=0.01, min_interval=0.03), **options},
        )

    async def run(
        self, *, limits: Limits | None = None, polling: Polling | None = None, **options: Any
    ) -> tuple[dict[str, Result], Summary]:
        job = Job.read(self.path / "jobs.jsonl")
        how = {} if polling is None else {"polling": polling}
        session = self.session(limits=limits or Limits(), **how)
        async with session, run_job(session, job, self.out, **options) as run:
            results = {result.key: result async for result in run}
            return results, run.summary

    def lines(self) -> list[dict[str, Any]]:
        text = (self.out / "results.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def pictures(self) -> list[str]:
        return sorted(path.name for path in self.out.glob("*.png"))


@pytest.fixture
async def job_folder(tmp_path: Path):
    async with Emulator(duration=(0.01, 0.1), picture_scale=1 / 40, seed=1) as emulator:
        yield JobFolder(tmp_path, emulator)
