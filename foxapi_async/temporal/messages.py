"""What passes through Temporal: requests with their keys, and what became of them.

Dataclasses of JSON types, because Temporal's own converter reads those. They are small: Temporal refuses
payloads of more than 2 MiB, and keeps all of them in the history of the workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from foxapi_async.errors import InvalidRequestError
from foxapi_async.requests import GenerationRequest, PreparedRequest, Request

ACTIVITY: Final = "foxapi.generate"
WORKFLOW: Final = "foxapi.GenerateImages"
TASK_QUEUE: Final = "foxapi"
"""The names under which Temporal knows them; workflows in other languages use them, too."""

LONGEST_TEXT: Final = 500
"""Characters of an error in a result; the journal has all of it."""

MOST_GENERATIONS: Final = 1000
"""Of one workflow: its result, with a line for each, must fit a payload."""

GenerationStatus = Literal[
    "completed", "unsaved", "failed", "unfinished", "rejected", "unknown", "not_submitted"
]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A request and its key, which the journal bills at most once; make it with `Generation.of`.

    ``directory`` is where the worker saves the files: a path on the workers' machines, absolute or below
    the directory of the worker; None for the directory of the worker, if it has one.
    """

    key: str
    path: str
    kind: str
    payload: dict[str, Any]
    directory: str | None = None

    @classmethod
    def of(cls, request: Request, key: str, *, directory: str | None = None) -> Generation:
        """Return the generation of a request.

        Raises:
            InvalidRequestError: The request names local files, which workers elsewhere do not have.
        """
        if isinstance(request, PreparedRequest):
            raise InvalidRequestError(
                f"the request of the key {key!r} names local files, which workers on other machines do "
                "not have; upload them first (session.upload) and put the links in their place",
                field="request",
                value=request,
            )
        return cls(
            key=key,
            path=request.path,
            kind=request.kind,
            payload=request.payload(),
            directory=directory,
        )

    @property
    def request(self) -> Request:
        """The request, as a `GenerationRequest` that sends the same payload.

        Raises:
            InvalidRequestError: The fields are no request.
        """
        model = self.payload.get("model")
        params: Mapping[str, Any] = {k: v for k, v in self.payload.items() if k != "model"}
        return GenerationRequest(model, params, self.kind, self.path)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """What became of a generation.

    ============= ==================================================================================
    status        means
    ============= ==================================================================================
    completed     the files are saved, or ``urls`` has their links if the worker has no directory
    unsaved       completed and billed, but files could not be saved; another run tries again
    failed        the task failed or was cancelled at the server
    unfinished    accepted and billed, but the wait ended first; another run continues it
    rejected      the server refused it; nothing was billed
    unknown       it may have been billed, and no task id was received; it is not sent again
    not_submitted nothing was sent
    ============= ==================================================================================

    ``files`` are paths below the directory. ``data`` are outputs that are not files. ``error_type`` is the
    name of the class of the error in `foxapi_async`. ``ends_run`` is
    whether the error concerns the key or the account, so that nothing more should be submitted.
    """

    key: str
    status: GenerationStatus
    task_id: str | None = None
    files: list[str] = field(default_factory=list[str])
    urls: list[str] = field(default_factory=list[str])
    data: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    error: str | None = None
    error_code: str | None = None
    error_type: str | None = None
    ends_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The input of the workflow `GenerateImages`: at most 1,000 generations.

    Args:
        generations: What to generate.
        directory: The directory of those that name none.
        window: How many activities are in flight at once, from 1 to 1,000.
        heartbeat_timeout: Seconds without a heartbeat after which Temporal gives an activity to another
            worker.
        results: What earlier runs of the workflow have brought; it continues as new when its history
            grows long.
    """

    generations: list[Generation]
    directory: str | None = None
    window: int = 100
    heartbeat_timeout: float = 30.0
    results: list[GenerationResult] = field(default_factory=list[GenerationResult])
