"""A workflow of a user's own; Temporal loads this module in its sandbox."""

from __future__ import annotations

from temporalio import workflow

from foxapi_async import PhotaImage
from foxapi_async.temporal import GenerationResult, generate


@workflow.defn
class Poster:
    @workflow.run
    async def run(self, title: str) -> GenerationResult:
        return await generate(
            PhotaImage(f"a poster: {title}"),
            key=workflow.info().workflow_id,
            task_queue=workflow.info().task_queue,
            heartbeat_timeout=3,
        )
