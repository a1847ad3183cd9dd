"""One bucket of an object store: creates objects that are whole and verified, and replaces none."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import anyio
import attrs
from yarl import URL

from foxapi_async._concurrency import run_in_thread
from foxapi_async.environment import is_loopback
from foxapi_async.errors import ConfigurationError, DownloadError
from foxapi_async.files.content import Content, Identity
from foxapi_async.files.filenames import free_names
from foxapi_async.files.object_path import ObjectPath
from foxapi_async.files.sniff import content_type_of
from foxapi_async.files.store_errors import StoreAnswer, StoreFault, classify
from foxapi_async.files.store_exit import settle_at_exit
from foxapi_async.options import Retry, Timeout
from foxapi_async.retry import backoff

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

T = TypeVar("T")

SLOWEST: Final = 16 * 1024
"""Bytes per second that a transfer of an object must reach: obstore does not report its progress."""

_DIGEST: Final = "sha256"
"""The name of the metadata of an object that holds the SHA-256 of its content."""

_CONFLICTS: Final = 3
"""Attempts to create an object that the store says exists, and that it does not have."""

_NOT_THERE: Final = frozenset({StoreAnswer.MISSING, StoreAnswer.DENIED})
"""Without the right to list, S3 denies what it does not have; then a PUT tells the reason."""

_TYPES: Final = {".js": "text/javascript", ".jsonl": "application/x-ndjson"}

_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_LONG: Final = "30days"
_LONGEST_READ: Final = 3600.0

_log = logging.getLogger("foxapi_async.files")


@attrs.frozen
class ObjectFacts:
    """What a store tells of an object without its content; ``sha256`` is None if it is not recorded."""

    size: int
    e_tag: str | None
    sha256: str | None


class _FaultError(Exception):
    def __init__(self, fault: StoreFault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


@attrs.frozen(eq=False, repr=False)
class ObjectStore:
    """One bucket; create it with `open_store`. Errors begin with ``what``, the caller's words.

    All requests are repeated as ``retry`` says if they fail for a reason that may pass.

    Raises:
        DownloadError: The store denies access, has no such bucket, or gives no usable answer.
    """

    scheme: str
    bucket: str
    _store: S3Store | GCSStore | AzureStore
    _retry: Retry
    _timeout: Timeout
    advice: str = "the task is paid for and can be downloaded again"
    """What errors say last."""
    _jitter: Callable[[], float] = random.random

    async def create(
        self, folder: ObjectPath, name: str, content: Content, what: str
    ) -> ObjectPath:
        """Create an object with this name, or one like it that is free, and return its path.

        No object is replaced. If the name is taken by an object of the same bytes, that one counts;
        otherwise ``name~2.png`` is tried, and so on. What the store has stored is verified.
        """
        for each in free_names(name):
            path = folder / each
            if await self._take(path, content, what):
                return path
        raise AssertionError  # there is always another name

    async def replace(self, path: ObjectPath, content: Content, what: str) -> None:
        """Create or replace an object, and verify what the store has stored."""
        await self._put(path, content, "overwrite", what)

    async def ensure(self, path: ObjectPath, content: Content, what: str) -> bool:
        """Create an object, unless there is one of this name; return whether there was none."""
        try:
            await self._put(path, content, "create", what)
        except _FaultError:
            return False
        return True

    async def fetch(self, path: ObjectPath, file: Path, what: str) -> bool:
        """Write the content of an object to a file; return False if there is none that may be read.

        Raises:
            OSError: The file cannot be written.
        """
        from obstore import get_async  # noqa: PLC0415 - an extra

        async def get() -> None:
            found = await get_async(self._store, path.key)
            await run_in_thread(file.write_bytes, b"")
            async for chunk in found.stream():
                await run_in_thread(_append, file, bytes(chunk))

        try:
            await self._call(get, what, _LONGEST_READ)
        except _FaultError as error:
            if error.fault.answer in _NOT_THERE:
                return False
            raise self._failed(what, error.fault) from None
        return True

    async def has(self, path: ObjectPath, wanted: Identity, what: str) -> bool:
        """Return whether the store has an object of this content that may be read."""
        try:
            facts = await self._call(lambda: self._head(path), what, self._timeout.request)
        except _FaultError as error:
            if error.fault.answer in _NOT_THERE:
                return False
            raise self._failed(what, error.fault) from None
        return await self._is(path, facts, wanted, what)

    async def _take(self, path: ObjectPath, content: Content, what: str) -> bool:
        """Create an object; return whether it has the content, else somebody else's is there."""
        for attempt in range(_CONFLICTS):
            if attempt:
                await self._pause(attempt)
            try:
                # Asked first, so that what an earlier run has stored is not sent again, and what is
                # there is safe from stores that ignore the condition of a PUT.
                facts = await self._call(lambda: self._head(path), what, self._timeout.request)
            except _FaultError as error:
                if error.fault.answer not in _NOT_THERE:
                    raise self._failed(what, error.fault) from None
            else:
                return await self._is(path, facts, content.identity, what)
            try:
                await self._put(path, content, "create", what)
            except _FaultError:  # it exists now, or another request to create it is under way
                continue
            return True
        raise DownloadError(
            f"{what}: the store says that {path} exists, but does not let it be read to compare it; "
            f"{self.advice}"
        )

    async def _put(
        self, path: ObjectPath, content: Content, mode: Literal["create", "overwrite"], what: str
    ) -> None:
        """Store an object and verify it; raise `_FaultError` only if there is one of this name."""
        from obstore import put_async  # noqa: PLC0415 - an extra
        from obstore.exceptions import AlreadyExistsError  # noqa: PLC0415

        wanted = content.identity
        attributes = {
            "Content-Type": _TYPES.get(path.suffix) or content_type_of(path.name, content.head),
            _DIGEST: wanted.sha256,
        }

        async def put() -> None:
            try:
                stored = await put_async(
                    self._store, path.key, content.data, mode=mode, attributes=attributes
                )
            except AlreadyExistsError:
                if mode == "create":
                    raise
                conflict = "another request to replace the object is under way"
                raise _FaultError(StoreFault(StoreAnswer.TRANSIENT, conflict)) from None
            # The signature of a PUT covers the bytes, and the ETag of most stores is their MD5. Others
            # must show what they have.
            if _unquoted(stored["e_tag"]) == wanted.md5:
                return
            if await self._digest_of(path) != (wanted.size, wanted.sha256):
                await self._remove(path, stored["e_tag"])
                raise _FaultError(
                    StoreFault(StoreAnswer.TRANSIENT, "the store has other bytes than were sent")
                )

        try:
            await self._call(put, what, self._timeout.request + 2 * wanted.size / SLOWEST)
        except _FaultError as error:
            if error.fault.answer is not StoreAnswer.EXISTS:
                raise self._failed(what, error.fault) from None
            raise

    async def _is(self, path: ObjectPath, facts: ObjectFacts, wanted: Identity, what: str) -> bool:
        if facts.size != wanted.size:
            return False
        if facts.sha256 is not None:
            return facts.sha256 == wanted.sha256
        if _unquoted(facts.e_tag) == wanted.md5:
            return True
        longest = self._timeout.request + wanted.size / SLOWEST
        try:
            found = await self._call(lambda: self._digest_of(path), what, longest)
        except _FaultError as error:
            raise self._failed(what, error.fault) from None
        return found == (wanted.size, wanted.sha256)

    async def _head(self, path: ObjectPath) -> ObjectFacts:
        from obstore import get_async  # noqa: PLC0415 - an extra

        found = await get_async(self._store, path.key, options={"head": True})
        return ObjectFacts(found.meta["size"], found.meta["e_tag"], found.attributes.get(_DIGEST))

    async def _digest_of(self, path: ObjectPath) -> tuple[int, str] | None:
        from obstore import get_async  # noqa: PLC0415 - an extra

        size, digest = 0, hashlib.sha256()
        try:
            found = await get_async(self._store, path.key)
        except FileNotFoundError:
            return None
        async for chunk in found.stream():
            size += len(chunk)
            digest.update(chunk)
        return size, digest.hexdigest()

    async def _remove(self, path: ObjectPath, e_tag: str | None) -> None:
        """Remove a damaged object that was just created, unless somebody has replaced it."""
        from obstore import delete_async  # noqa: PLC0415 - an extra

        # What fails here fails again when the object is created once more, and is reported then.
        with suppress(Exception):
            if (await self._head(path)).e_tag == e_tag:
                await delete_async(self._store, path.key)

    async def _call(self, request: Callable[[], Awaitable[T]], what: str, longest: float) -> T:
        """Make a request, perhaps repeatedly; raise `_FaultError`."""
        failures = 0
        while True:
            fault = StoreFault(
                StoreAnswer.TRANSIENT, f"the store gave no answer within {longest:.0f} s"
            )
            with anyio.move_on_after(longest):
                try:
                    return await request()
                except _FaultError as error:
                    fault = error.fault
                except FileNotFoundError as error:
                    fault = classify(error, self.scheme, self.bucket)
                except OSError:
                    raise  # of a local file: obstore raises no other
                except Exception as error:  # noqa: BLE001 - obstore raises its own and builtin ones
                    fault = classify(error, self.scheme, self.bucket)
            failures += 1
            if fault.answer is not StoreAnswer.TRANSIENT:
                raise _FaultError(fault)
            if failures >= self._retry.attempts:
                tries = "attempt" if failures == 1 else "attempts"
                text = f"{fault.reason}; given up after {failures} {tries}"
                raise _FaultError(StoreFault(StoreAnswer.TRANSIENT, text))
            _log.info("%s: %s; trying again", what, fault.reason)
            await self._pause(failures)

    async def _pause(self, failures: int) -> None:
        first, longest = self._retry.first, self._retry.longest
        await anyio.sleep(backoff(failures, first=first, longest=longest, jitter=self._jitter()))

    def _failed(self, what: str, fault: StoreFault) -> DownloadError:
        return DownloadError(
            f"{what}: cannot use {self.scheme}://{self.bucket}: {fault.reason}; {self.advice}"
        )


def open_store(place: ObjectPath, retry: Retry, timeout: Timeout) -> ObjectStore:
    """Return the store of a path, with the credentials and the address that the environment gives.

    Blocking; nothing is sent.

    Raises:
        ConfigurationError: The extra is not installed, or the environment cannot be used.
    """
    scheme, bucket = place.scheme, place.bucket
    settle_at_exit()
    try:
        store = import_module("obstore.store")
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"saving files under {scheme}:// needs the extra: pip install 'foxapi-async[cloud]'"
        ) from None
    # In the configuration rather than as client options, which would hide those of the environment.
    config: dict[str, str] = {"timeout": _LONG, "connect_timeout": f"{math.ceil(timeout.connect)}s"}
    if scheme == "s3":
        endpoint = next((value for name in _ENDPOINTS if (value := os.environ.get(name))), "")
        with suppress(ValueError):
            if is_loopback(URL(endpoint).host):
                config["allow_http"] = "true"
    kind = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}[scheme]
    try:
        # One layer of retries, which is ours: it knows what an answer to a conditional PUT means.
        opened = kind(bucket, config=config, retry_config={"max_retries": 0})
    except Exception as error:  # noqa: BLE001 - obstore raises its own and builtin ones
        reason = classify(error, scheme, bucket).reason
        if "no credentials" not in reason:
            reason = "its configuration in the environment cannot be used"
        raise ConfigurationError(
            f"files cannot be saved in {scheme}://{bucket}: {reason}"
        ) from None
    return ObjectStore(scheme, bucket, opened, retry, timeout)


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _unquoted(e_tag: str | None) -> str:
    return (e_tag or "").strip('"').lower()
