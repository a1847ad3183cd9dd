"""The limits of a session that it keeps together with all other sessions of its journal.

A session asks for places for its submissions, and tells and hears of 429s and outages, in one exchange with the
journal. It exchanges when something waits, and once a second while it has anything to do.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
import attrs

from foxapi_async._concurrency import Signal, Supervisor
from foxapi_async.errors import BudgetExceededError, FoxAPIError
from foxapi_async.journal.entry import bytes_of
from foxapi_async.journal.shared_limits import ExchangeLimits, SharedRefusal
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.registry import TaskRegistry
from foxapi_async.submission import Submission
from foxapi_async.submission_gate import SubmissionGate

if TYPE_CHECKING:
    from foxapi_async.journal import PostgresJournal

_log = logging.getLogger("foxapi_async")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5
"""Seconds between exchanges while submissions wait for places."""
_TICK: Final = 1.0
"""Seconds between exchanges while nothing waits, but requests are sent."""
_CLOSING: Final = 2.0
"""Seconds in which places are freed at the end; they are free when the journal is closed in any case."""
_STARVED: Final = 2.0
"""Seconds without a new place after which tasks are looked for that no session waits for."""
_ADOPTED: Final = 32
"""The most such tasks that are taken over at once."""


@attrs.define(eq=False)
class _PlaceWaiter:
    key: bytes
    outputs: int
    answered: anyio.Event = attrs.field(factory=anyio.Event)
    error: FoxAPIError | None = None
    has_place: bool = False


class SharedLimits:
    """One session's part in the limits of all sessions of a journal."""

    def __init__(
        self,
        journal: PostgresJournal,
        *,
        outputs: int,
        total: int | None,
        limiter: Limiter,
        gate: SubmissionGate,
        registry: TaskRegistry,
        supervisor: Supervisor,
    ) -> None:
        self._journal = journal
        self._outputs = outputs
        self._total = total
        self._limiter = limiter
        self._gate = gate
        self._registry = registry
        self._supervisor = supervisor
        self._clock = asyncio.get_running_loop().time
        self._waiters: dict[bytes, _PlaceWaiter] = {}
        self._given_back: list[bytes] = []
        self._refusals: list[tuple[Lane, float, float | None]] = []
        self._last_refusal: int | None = None
        self._wake = Signal()
        self._is_running = False
        limiter.on_refusal = self.note_refusal
        gate.on_change = self._wake.set

    async def take(self, submission: Submission) -> None:
        """Wait until the submission has a place among those of all sessions.

        Raises:
            BudgetExceededError: All sessions together have billed or reserved too many images.
            ConfigurationError: The journal cannot be written.
        """
        claim = submission.claim
        assert claim is not None
        claim.needs_place = True
        waiter = _PlaceWaiter(bytes_of(claim.key), submission.outputs)
        self._waiters[waiter.key] = waiter
        self._start()
        self._wake.set()
        try:
            await waiter.answered.wait()
        except BaseException:
            self.give_back(submission)
            raise
        finally:
            self._waiters.pop(waiter.key, None)
        if waiter.error is not None:
            raise waiter.error

    def give_back(self, submission: Submission) -> None:
        """Free the place of a submission that has ended, if it still has one."""
        if submission.claim is not None and submission.claim.needs_place:
            self._given_back.append(bytes_of(submission.claim.key))

    async def aclose(self) -> None:
        """Free the places that are left; another session may be the same owner of the journal."""
        self._given_back += [each.key for each in self._waiters.values()]
        self._waiters.clear()
        if self._given_back:
            with anyio.move_on_after(_CLOSING), suppress(FoxAPIError):
                await self._exchange()

    def note_refusal(self, lane: Lane, retry_after: float | None) -> None:
        """Tell the other sessions of a 429."""
        self._refusals.append((lane, self._clock(), retry_after))
        self._start()
        self._wake.set()

    def _start(self) -> None:
        if not self._is_running:
            self._is_running = True
            self._supervisor.start(self._run)

    async def _run(self) -> None:
        pause, granted_at = _FIRST_PAUSE, self._clock()
        while True:
            try:
                progress = await self._exchange()
            except FoxAPIError as error:
                self._fail_waiters(error)
                progress = False
            pause = _FIRST_PAUSE if progress else min(2 * pause, _LONGEST_PAUSE)
            if progress or not self._waiters:
                granted_at = self._clock()
            elif self._clock() - granted_at > _STARVED:
                granted_at = self._clock()
                await self._adopt()
            is_busy = self._registry.tasks or self._gate.is_paused or self._refusals
            with anyio.move_on_after(pause if self._waiters else _TICK if is_busy else math.inf):
                await self._wake.wait()

    async def _exchange(self) -> bool:
        """Exchange limits, and return whether a submission got its answer."""
        now = self._clock()
        refusals, self._refusals = self._refusals, []
        given_back, self._given_back = self._given_back, []
        asked = ExchangeLimits(
            outputs=self._outputs,
            total=self._total,
            wanted=[
                (each.key, each.outputs) for each in self._waiters.values() if not each.has_place
            ],
            given_back=given_back,
            is_paused=self._gate.is_open,
            can_test=self._gate.can_test,
            refusals=[SharedRefusal(lane.value, now - at, wait) for lane, at, wait in refusals],
            last_refusal=self._last_refusal,
        )
        try:
            answer = await self._journal.exchange_limits(asked)
        except FoxAPIError:
            self._given_back[:0], self._refusals[:0] = given_back, refusals
            raise
        self._last_refusal = answer.heard_until
        self._limiter.share_rates(answer.sessions)
        self._hear(answer.heard)
        self._gate.hold_for_another(is_held=answer.is_held, is_heir=answer.is_heir)
        return self._answer(answer.granted, answer.refused, answer.spent)

    def _answer(
        self, granted: frozenset[bytes], refused: frozenset[bytes], spent: int | None
    ) -> bool:
        for key in granted | refused:
            waiter = self._waiters.get(key)
            if waiter is None:  # it was cancelled meanwhile
                self._given_back.append(key)
                continue
            if key in refused:
                waiter.error = self._budget_error(waiter.outputs, spent or 0)
            waiter.has_place = True
            waiter.answered.set()
        return bool(granted or refused)

    def _hear(self, refusals: Sequence[SharedRefusal]) -> None:
        for refusal in refusals:
            self._limiter.refused_elsewhere(Lane(refusal.lane), refusal.age, refusal.wait)

    async def _adopt(self) -> None:
        """Wait for tasks of sessions that have ended: their places are free when the tasks have ended."""
        try:
            entries = await self._journal.adopt_orphans(_ADOPTED, list(self._registry.tasks))
        except FoxAPIError as error:
            _log.warning("tasks without a session could not be looked for: %s", error)
            return
        for entry in entries:
            if entry.task_id is not None and not self._registry.closed:
                _log.info("task %s of a session that has ended is polled here", entry.task_id)
                self._registry.attach(entry.task_id, None)

    def _fail_waiters(self, error: FoxAPIError) -> None:
        for waiter in self._waiters.values():
            waiter.error = waiter.error or error.again()
            waiter.answered.set()

    def _budget_error(self, outputs: int, spent: int) -> BudgetExceededError:
        images = "image" if outputs == 1 else "images"
        return BudgetExceededError(
            f"{outputs} more {images} would exceed the limit of {self._total} (total_outputs, "
            f"--max-images) of all sessions of the {self._journal.label}: {spent} are billed, in flight or "
            "unknown",
            total=self._total or 0,
            used=spent,
            requested=outputs,
        )
