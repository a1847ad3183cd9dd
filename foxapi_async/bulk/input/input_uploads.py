"""Uploads the local files of requests right before these are sent, each once for all of them."""

from __future__ import annotations

import logging
import random
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import attrs

from foxapi_async import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    FoxAPIError,
    InvalidRequestError,
    InvalidResponseError,
    Outcome,
    RateLimitError,
    Request,
    ServerError,
    Session,
    TaskFailedError,
)
from foxapi_async._typeguards import is_array, is_object, is_tuple
from foxapi_async.bulk.input.local_files import (
    LocalFile,
    LocalFiles,
    read_file,
    stand_ins_of,
    state_of,
)
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.journal.protocol import SessionJournal
from foxapi_async.requests import STAND_IN, PreparedRequest
from foxapi_async.retry import backoff

LIFETIME: Final = 70 * 3600.0
"""Seconds that a link is used. The server keeps the file for 72 hours; a task may have to wait."""

_CONCURRENT: Final = 4
"""Uploads at once: more would only share a thin line, until each counts as stalled."""

_KEPT: Final = 1024
"""Links and refusals that are kept in memory; the journal has all links."""

_MOST_401: Final = 3  # Answers to one upload, until the key counts as refused

_BATCH: Final = 200  # Names that the journal is asked for at once

_UNREADABLE: Final = frozenset({"invalid_file_type", "invalid_image_url"})
"""Codes that say that the server cannot read an input, perhaps because it has removed it."""

_log = logging.getLogger("foxapi_async")


class InputUploadError(FoxAPIError):
    """A local file could not be uploaded, so its request was not sent.

    ``ends_run`` is whether further uploads would fail as well.
    """

    def __init__(self, message: str, *, ends_run: bool = False) -> None:
        super().__init__(message)
        self.ends_run = ends_run


@attrs.frozen(eq=False, repr=False)
class _RequestWithFiles(PreparedRequest):
    """A request that is sent with a link in place of each stand-in of a local file."""

    _request: Request
    _uploads: InputUploads

    @property
    def model(self) -> str:
        return self._request.model

    @property
    def kind(self) -> str:
        return self._request.kind

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def num_outputs(self) -> int:
        return self._request.num_outputs

    def payload(self) -> dict[str, Any]:
        return self._request.payload()

    async def prepare(self) -> dict[str, Any]:
        payload = self._request.payload()
        links = {each: await self._uploads.link_of(each) for each in stand_ins_of(payload)}
        return {name: _linked(value, links) for name, value in payload.items()}

    def _with_outputs(self, num_outputs: int) -> _RequestWithFiles:
        del num_outputs
        raise InvalidRequestError("a request with local files cannot be split")


class InputUploads:
    """The uploads of a run.

    The links are remembered in the journal of the session, if it has one. Requests that need the same
    file at the same time wait for one upload. While the service does not answer, an upload is repeated
    for ``Retry.patience`` seconds.
    """

    def __init__(self, session: Session, files: LocalFiles) -> None:
        self._session = session
        self._journal = session.journal
        self._files = files
        self._retry = session.retry
        self._slots = anyio.Semaphore(_CONCURRENT)
        self._pending: dict[str, _Turn] = {}
        self._known: OrderedDict[str, _Link | InvalidRequestError] = OrderedDict()
        self._is_answered = False
        self._is_paused = False

    def prepared(self, request: Request) -> Request:
        """Return what to submit for a request: itself, unless it has local files."""
        return _RequestWithFiles(request, self) if stand_ins_of(request.payload()) else request

    async def link_of(self, stand_in: str) -> str:
        """Return a link to a local file; upload it if there is none that is valid for some time.

        Raises:
            InvalidRequestError: The file was changed or removed, or the server does not take it.
            InputUploadError: The upload failed.
        """
        sha256 = stand_in.removeprefix(STAND_IN)
        async with self._turn(sha256):
            known = self._known.get(sha256) or await self._recall(sha256)
            if isinstance(known, InvalidRequestError):
                raise known.again()
            if known is None or time.time() >= known.expires:
                async with self._slots:
                    known = await self._upload(sha256)
            self._keep(sha256, known)
            return known.url

    def note(self, outcome: Outcome) -> None:
        """Forget the links of a request whose inputs the server could not read, for the next run."""
        error = outcome.error
        code = error.code if isinstance(error, APIStatusError) else None
        if isinstance(error, TaskFailedError) and error.task.error is not None:
            code = error.task.error.code
        if code not in _UNREADABLE:
            return
        for stand_in in stand_ins_of(outcome.request.payload()):
            sha256 = stand_in.removeprefix(STAND_IN)
            self._known.pop(sha256, None)
            if self._journal is not None:
                self._journal.remember(name_of(sha256), None)

    @asynccontextmanager
    async def _turn(self, sha256: str) -> AsyncGenerator[None, None]:
        turn = self._pending.setdefault(sha256, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._pending[sha256]

    async def _recall(self, sha256: str) -> _Link | None:
        if self._journal is None:
            return None
        return link_from(await self._journal.recall(name_of(sha256)))

    def _keep(self, sha256: str, known: _Link | InvalidRequestError) -> None:
        self._known[sha256] = known
        self._known.move_to_end(sha256)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    async def _upload(self, sha256: str) -> _Link:
        file = await run_with_descriptors(self._files.find, sha256)
        if file is None:
            raise InvalidRequestError(f"no local file has the SHA-256 {sha256}; nothing was sent")
        try:
            await run_with_descriptors(_check_unchanged, file)
            # The link is valid from some moment of the upload on.
            began = time.time()
            url = await self._until_answered(file)
            await run_with_descriptors(_check_unchanged, file)
        except InvalidRequestError as error:
            self._keep(sha256, error.again())
            raise
        link = _Link(url, began + LIFETIME)
        if self._journal is not None:
            self._journal.remember(name_of(sha256), {"url": link.url, "expires": link.expires})
        return link

    async def _until_answered(self, file: LocalFile) -> str:
        started, attempt = anyio.current_time(), 0
        while True:
            attempt += 1
            try:
                uploaded = await self._session.upload(file.path)
            except (APIConnectionError, InvalidResponseError, RateLimitError, ServerError) as error:
                waited = anyio.current_time() - started
                # Without any answer so far, the address or the network may be wrong.
                never = isinstance(error, APIConnectionError) and not error.sent
                if waited > self._retry.patience or (never and not self._is_answered):
                    raise _failure(file, error, ends_run=True) from error
                if not self._is_paused:
                    self._is_paused = True
                    _log.warning(
                        "uploads of local files fail and are repeated for up to %.3g s: %s",
                        self._retry.patience,
                        error,
                    )
            except AuthenticationError as error:
                # A single 401 may be a mistake of the service.
                if attempt >= _MOST_401:
                    raise _failure(file, error, ends_run=True) from error
            except APIStatusError as error:
                raise _refusal(file, error) from error
            else:
                self._is_answered, self._is_paused = True, False
                return uploaded.url
            await anyio.sleep(
                backoff(
                    attempt,
                    first=self._retry.first,
                    longest=self._retry.longest,
                    jitter=random.random(),  # noqa: S311
                )
            )


@attrs.define(eq=False)
class _Turn:
    """Whose turn it is to find or make the link of a file."""

    lock: anyio.Lock = attrs.field(factory=anyio.Lock)
    users: int = 0


@attrs.frozen
class _Link:
    url: str = attrs.field(repr=False)
    expires: float


def name_of(sha256: str) -> str:
    """Return the name under which the journal remembers the link of a file."""
    return f"upload sha256:{sha256}"


def link_from(value: object) -> _Link | None:
    """Return a link that the journal has remembered; None if it is not usable."""
    if not is_object(value):
        return None
    url, expires = value.get("url"), value.get("expires")
    if not isinstance(url, str) or not isinstance(expires, int | float):
        return None
    # A clock that was wrong must not make a link valid for years.
    return _Link(url, min(expires, time.time() + LIFETIME)) if time.time() < expires else None


def uploads_of(files: LocalFiles, journal: SessionJournal | None) -> tuple[int, int]:
    """Return how many of the wanted files have no usable link, and their bytes together. Blocking."""
    number = size = 0
    for batch in files.wanted(_BATCH):
        names = [name_of(sha256) for sha256 in batch]
        known = {} if journal is None else journal.remembered(names)
        for name, bytes_ in zip(names, batch.values(), strict=True):
            if link_from(known.get(name)) is None:
                number, size = number + 1, size + bytes_
    return number, size


def _linked(value: Any, links: dict[str, str]) -> Any:
    if is_array(value) or is_tuple(value):
        return [_linked(item, links) for item in value]
    return links.get(value, value) if isinstance(value, str) else value


def _check_unchanged(file: LocalFile) -> None:
    """Raise `InvalidRequestError` unless the file has the content that was checked."""
    try:
        if state_of(file.path.stat()) == file.state or read_file(file.path).sha256 == file.sha256:
            return
        why = "it was changed since it was checked"
    except (OSError, ValueError) as error:
        why = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    raise InvalidRequestError(
        f"{file.path}: {why}; the request was not sent. Run the job again: the file is then checked again",
        field="image_urls",
        value=file.path,
    )


def _failure(file: LocalFile, error: FoxAPIError, *, ends_run: bool) -> InputUploadError:
    text = f"{file.path} could not be uploaded, and the request was not sent: {error}"
    return InputUploadError(text, ends_run=ends_run)


def _refusal(file: LocalFile, error: APIStatusError) -> FoxAPIError:
    failure = _failure(file, error, ends_run=False)
    if error.status in {400, 413, 415, 422}:
        return InvalidRequestError(str(failure), value=file.path)
    return failure
