"""When to poll a task next, and which task to poll first.

One number sets the trade: `poll_cost`, how many seconds of delay one poll is worth. The schedule minimises

    (seconds between the end of a task and the poll that sees it) + poll_cost * (number of polls)

on average. At 0.25, another poll is made where it is expected to save a quarter of a second. Four times the poll_cost
makes about half the polls and doubles the delay; a quarter of it does the opposite.

So a task is polled rarely while its end is improbable, often where it is likely, and rarely again when it has taken
far longer than any task before. What is likely is learned: see `durations` for the distribution, `history` for the
weight of the server's estimate, `inspection` for the formula and its sources.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections.abc import Hashable, Sequence

import attrs

from foxapi_async.polling.durations import BINS, STEP
from foxapi_async.polling.history import History, exported, imported, position_of, shift_of
from foxapi_async.polling.inspection import LEAST_HAZARD, POINTS, WIDTHS, grid, solve

ESTIMATE_STEP = 4  # bins: estimates within 20 % of each other share a table, scaled by their ratio
PLANS = 64  # estimates per group whose table is remembered between two fits
# The first polls of tasks submitted together are spread over this part of an interval, and the later ones over that.
FIRST_SPREAD, LATER_SPREAD = 0.4, 0.2
# While no end is known, some tasks are polled sooner than is best for them, for the sake of all that were submitted
# with them: the first end that is seen tells more than any prior.
EARLY_SHARE = 0.6  # the share of these tasks
EARLIEST = 0.2  # their first polls are spread, evenly by logarithm, from this part of the best age
LEAST_TRUST = 0.02  # below this trust in estimates all tasks of a group share one table
USES = 32  # polls that a table serves before it is solved again ...
YOUNG = 40  # ... unless the group has seen fewer ends than these ...
VERSIONS = 3  # ... or has been fitted so many times since
# Groups remembered, at 85 KiB each; the one without an end for longest is forgotten first.
GROUPS = 128
OTHERS = 8  # groups whose history serves as the prior of a new one, and ...
OTHERS_SEEN = 8  # ... how many ends each must have seen
OLDEST = 1e9  # seconds
INTERVAL_AFTER_FAULT = 10.0  # seconds; the bounds of every interval hold for it too

_log = logging.getLogger("foxapi_async")


class InspectionTable:
    """The best next poll for every age, for one distribution of durations."""

    __slots__ = ("_follow", "_per_poll", "_poll_cost", "_times", "survival", "uses", "version")

    def __init__(
        self, survival: Sequence[float], *, poll_cost: float, shortest: float, longest: float
    ) -> None:
        self.survival: Sequence[float] = survival
        self.version: int = 0  # of the history, when the table was made
        self.uses: int = 0
        self._poll_cost = poll_cost
        self._times, ended, self._per_poll = grid(survival, poll_cost, shortest, longest)
        # with fewer points the smooth form, which the grid is made of, is the better one
        fine = self._per_poll >= POINTS / 2.0
        self._follow = solve(self._times, ended, poll_cost, shortest, longest) if fine else []

    def next_poll(self, age: float, jitter: float) -> float:
        """Return the age of the next poll (seconds), without regard to the bounds of the interval."""
        times = self._times
        last = len(times) - 1
        index = bisect_right(times, age) - 1
        if index >= last:
            return age + self._smooth_interval(age) * (1.0 + LATER_SPREAD * (jitter - 0.5))
        part = (age - times[index]) / (times[index + 1] - times[index])
        if self._follow:
            low, high = self._follow[index], self._follow[index + 1]
            target = low + (high - low) * part
        else:
            target = index + part + self._per_poll * (1.0 if age > 0.0 else 0.5)
        spread = self._per_poll * (FIRST_SPREAD if index == 0 else LATER_SPREAD)
        target += spread * (jitter - 0.5)
        target = min(max(target, 0.0), last - 1e-6)
        index = int(target)
        return times[index] + (times[index + 1] - times[index]) * (target - index)

    def first_poll_without_history(self, jitter: float) -> float:
        """Return the age of the first poll (seconds) while no task of the group is known to have ended."""
        others = 1.0 - EARLY_SHARE
        if abs(jitter - 0.5) <= 0.5 * others:
            return self.next_poll(0.0, 0.5 + (jitter - 0.5) / others)
        rank = (jitter if jitter < 0.5 else jitter - others) / EARLY_SHARE  # noqa: PLR2004
        return float(self.next_poll(0.0, 0.5) * EARLIEST ** (1.0 - rank))

    def _smooth_interval(self, age: float) -> float:
        index = min(int(position_of(age)), BINS - 1)
        hazard = math.log(self.survival[index] / self.survival[index + 1]) / WIDTHS[index]
        interval = math.sqrt(2.0 * self._poll_cost / max(hazard, LEAST_HAZARD))
        # the estimate of the far tail is not reliable
        return min(interval, 0.5 * age + 1.0)


Plan = tuple[InspectionTable, float]
"""A table, and by what to divide ages before they are looked up in it."""


@attrs.define(eq=False)
class _Group:
    history: History
    tables: dict[int | None, InspectionTable] = attrs.field(
        factory=dict[int | None, InspectionTable]
    )
    plans: dict[float | None, Plan] = attrs.field(factory=dict[float | None, Plan])
    version: int = 0  # of the history when these plans were made


class Schedule:
    """Tells at which age to poll a task, and learns from what the polls find.

    Ages, estimates and intervals are in seconds; an age counts from the submission of the task. `group` is any hashable
    value; tasks of one group (say: same model, resolution and number of outputs) are expected to take alike. `estimate`
    is whatever the server announced, None included: nonsense is harmless, and an estimate that turns out to carry no
    information is ignored after some tasks. It may change during the life of a task.

    There is no clock and no randomness inside: equal calls give equal answers. After construction no method raises: an
    internal fault is logged once, and polls come at a fixed interval instead.

    `poll_cost` is the seconds of delay that one poll is worth; `min_interval` and `max_interval` bound the time between
    two polls of a task (and before the first).
    """

    def __init__(
        self, *, poll_cost: float = 0.25, min_interval: float = 0.5, max_interval: float = 180.0
    ) -> None:
        names = ("poll_cost", "min_interval", "max_interval")
        for name, value in zip(names, (poll_cost, min_interval, max_interval), strict=True):
            if not (value > 0.0 and math.isfinite(value)):
                raise ValueError(f"{name} must be positive and finite, not {value!r}")
        if max_interval < min_interval:
            raise ValueError(
                f"max_interval {max_interval!r} is shorter than min_interval {min_interval!r}"
            )
        self._poll_cost = poll_cost
        self._shortest = min_interval
        self._longest = max_interval
        self._groups: dict[Hashable, _Group] = {}
        self._has_failed = False
        self._source: Schedule | None = None

    def sharing(self, poll_cost: float, min_interval: float, max_interval: float) -> Schedule:
        """Return a schedule with other costs and bounds, which plans by what this one learns."""
        schedule = Schedule(
            poll_cost=poll_cost, min_interval=min_interval, max_interval=max_interval
        )
        schedule._source = self
        return schedule

    def next_poll(
        self, group: Hashable, estimate: float | None, age: float, *, jitter: float = 0.5
    ) -> float:
        """Return the age at which to poll a task next that was still running at `age`.

        The answer lies between `age + min_interval` and `age + max_interval`; `age` is 0.0 before the first poll.

        `jitter`, in [0, 1), is a new random number for every call. It spreads the polls of tasks that were submitted
        together, which costs about 1 %; 0.5 is the optimum itself. While no end in the group is known, the first polls
        of six in ten jitters come sooner, down to a fifth of that age: the first end tells when to poll the others.
        """
        if not age >= 0.0:  # NaN as well
            age = 0.0
        known_age = min(age, OLDEST)
        if not 0.0 <= jitter <= 1.0:
            jitter = min(max(jitter, 0.0), 1.0)
        try:
            known, (table, scale) = self._plan(group, estimate)
            table.uses += 1
            if known_age == 0.0 and not known.history.seen:
                interval = table.first_poll_without_history(jitter) * scale
            else:
                interval = table.next_poll(known_age / scale, jitter) * scale - known_age
        except Exception:  # noqa: BLE001 - a fault here must not keep a task from being polled
            self._log_fault()
            interval = INTERVAL_AFTER_FAULT
        if interval > self._longest:
            # spread the polls of tasks that wait for the bound together
            interval = self._longest * (1.0 - 0.1 * jitter)
        return age + max(interval, self._shortest)

    def chance(
        self, group: Hashable, estimate: float | None, seen_running_at: float, age: float
    ) -> float:
        """Return the probability that a task has ended by `age`, given that it ran at `seen_running_at`.

        If more tasks are due than may be polled, poll the one with the highest chance first.
        """
        try:
            _, (table, scale) = self._plan(group, estimate)
            before = _survival_at(table.survival, seen_running_at / scale)
            after = _survival_at(table.survival, age / scale)
            return min(max(1.0 - after / before, 0.0), 1.0)
        except Exception:  # noqa: BLE001
            self._log_fault()
            return 0.5

    def still_running(
        self, group: Hashable, estimate: float | None, since: float, age: float
    ) -> None:
        """Learn that a task that ran at the age `since` (0.0: was submitted) ran at `age` as well.

        Optional. When many tasks are in flight, the first ends that are seen are those of the quickest tasks; counting
        the others keeps these from being taken as typical, and before the first end it delays polls of similar tasks.
        """
        try:
            if 0.0 <= since <= age <= OLDEST:
                known = self._groups.get(group) or self._group(group)
                known.history.still_running(estimate, since, age)
        except Exception:  # noqa: BLE001
            self._log_fault()

    def observe(
        self, group: Hashable, estimate: float | None, ran_until: float, ended_by: float
    ) -> None:
        """Learn that a task ended after the age `ran_until` (0.0: was submitted) and by the age `ended_by`."""
        try:
            if 0.0 <= ran_until <= ended_by <= OLDEST:
                known = self._groups.get(group) or self._group(group)
                known.history.observe(estimate, ran_until, ended_by)
                self._groups[group] = self._groups.pop(group)  # the last one to be forgotten
        except Exception:  # noqa: BLE001
            self._log_fault()

    def revision(self, group: Hashable) -> int:
        """Return a number that grows when enough was learned to make known due times worth a revision.

        It grows with the 1st, 2nd, 3rd, 4th, 8th, 16th, 32nd, ... end of a task of the group. Call `next_poll` again
        then, with the age of the last poll, for the tasks in flight: those submitted before the first end was seen were
        planned without any history. In the first 50 tasks of a group that saves a twentieth of the cost.
        """
        known = self._groups.get(group)
        seen = known.history.seen if known else 0
        return seen if seen < 4 else 1 + seen.bit_length()  # noqa: PLR2004

    def to_json(self) -> dict[str, object]:
        """Return what was learned as a mapping that `json.dumps` takes; an empty one after an internal fault.

        Groups are kept whose value consists of strings, numbers, booleans, None and tuples of these.
        """
        try:
            return exported((name, known.history) for name, known in self._groups.items())
        except Exception:  # noqa: BLE001
            self._log_fault()
            return {}

    def from_json(self, data: object) -> int:
        """Take over what `to_json` returned, also after a trip through JSON, and return how many ends it holds.

        Whatever cannot be read is left out: lost history costs some polls, an error would keep the session from opening.
        """
        taken = 0
        try:
            for name, log_odds, ends in imported(data):
                history = self._group(name).history
                for estimate, low, high in ends:
                    history.remember(estimate, min(low, OLDEST), min(high, OLDEST))
                history.log_odds = log_odds
                taken += len(ends)
        except Exception:  # noqa: BLE001
            self._log_fault()
        return taken

    def _log_fault(self) -> None:
        # Once: with thousands of tasks in flight the same fault would fill the log.
        if not self._has_failed:
            self._has_failed = True
            _log.exception("the polling schedule failed; tasks are polled at a fixed interval")

    def _group(self, name: Hashable) -> _Group:
        if name not in self._groups:
            if len(self._groups) >= GROUPS:
                del self._groups[next(iter(self._groups))]
            if self._source is not None:
                history = self._source._group(name).history  # noqa: SLF001
                self._groups[name] = _Group(history)
                return self._groups[name]
            others = [g.history for g in self._groups.values() if g.history.seen >= OTHERS_SEEN]
            self._groups[name] = _Group(History(others[-OTHERS:]))
        return self._groups[name]

    def _plan(self, group: Hashable, estimate: float | None) -> tuple[_Group, Plan]:
        known = self._groups.get(group) or self._group(group)
        if known.version != known.history.version or len(known.plans) > PLANS:
            known.version = known.history.version
            known.plans.clear()
        plan = known.plans.get(estimate)
        if plan is None:
            plan = known.plans[estimate] = self._make_plan(known, estimate)
        return known, plan

    def _make_plan(self, known: _Group, estimate: float | None) -> Plan:
        trust = known.history.trust
        shift = shift_of(estimate)
        if shift is None or trust < LEAST_TRUST:
            return self._table(known, None, 0.0), 1.0
        bucket = round(shift / ESTIMATE_STEP) * ESTIMATE_STEP
        table = self._table(known, bucket, trust)
        if trust < 0.5:  # noqa: PLR2004 - seconds count for more than the estimate
            return table, 1.0
        return table, math.exp((shift - bucket) * STEP)

    def _table(self, known: _Group, bucket: int | None, trust: float) -> InspectionTable:
        history = known.history
        table = known.tables.get(bucket)
        if table is not None:
            behind = history.version - table.version
            if not behind or (table.uses < USES and history.seen > YOUNG and behind < VERSIONS):
                return table
        history.fit()
        survival: Sequence[float] = history.seconds.survival
        if bucket is not None:
            ratios = _shifted(history.ratios.survival, bucket)
            survival = [a + trust * (r - a) for r, a in zip(ratios, survival, strict=True)]
        table = known.tables[bucket] = InspectionTable(
            survival, poll_cost=self._poll_cost, shortest=self._shortest, longest=self._longest
        )
        table.version = history.version
        return table


def _survival_at(survival: Sequence[float], age: float) -> float:
    position = position_of(age)
    index = int(position)
    low = survival[index]
    return low + (survival[index + 1] - low) * (position - index)


def _shifted(survival: list[float], by: int) -> list[float]:
    # from elapsed / estimate to seconds: so many bins further up, or down if negative
    if by >= 0:
        return [survival[0]] * by + survival[: BINS + 1 - by]
    return [survival[0], *survival[1 - by :], *([survival[-1]] * -by)]
