"""When to look at a task next, and which task to look at first.

One number sets the trade: `poll_cost`, how many seconds of delay one look is worth. The schedule makes

    (seconds between the end of a task and the look that sees it) + poll_cost * (number of looks)

as small as it can be on average. At 0.25, a look more is made where it is expected to save a quarter of a second. Four
times the poll_cost makes about half the looks and doubles the delay; a quarter of it does the opposite.

So a task is looked at rarely while its end is improbable, often where it is likely, and rarely again when it has taken
far longer than any task before. What is likely is learned: see `durations` for the distribution, `history` for how much
the server's estimate is believed, `looks` for the formula and its sources.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from foxapi_async.polling.durations import BINS, STEP, place, still
from foxapi_async.polling.history import (
    History,
    guess_absolute,
    guess_relative,
    shift_of,
)
from foxapi_async.polling.inspection import InspectionTable
from foxapi_async.polling.remembered import exported, imported

# Seconds; an estimate beyond them is taken for a missing one.
SHORTEST_ESTIMATE, LONGEST_ESTIMATE = 0.1, 86_400.0
ESTIMATE_STEP = 4  # bins: estimates within 20 % of each other share a table, scaled by their ratio
PLANS = 64  # estimates per group whose table is remembered from one end to the next
USELESS = 0.02  # below this trust in estimates all tasks of a group share one table
USES = 32  # looks that a table serves before news makes it worth a new one ...
YOUNG = 40  # ... unless the group has seen fewer ends than these
# Groups remembered, at 85 KiB each; the one without an end for longest is forgotten first.
GROUPS = 128
KIN = 8  # groups whose history serves as the first guess for a new one, and ...
KIN_SEEN = 8  # ... how many ends each must have seen
KIN_SHARE = 0.5
OLDEST = 1e9  # seconds


class _Group:
    __slots__ = ("history", "planned_at", "plans", "tables")

    def __init__(self, history: History) -> None:
        self.history = history
        self.tables: dict[int | None, InspectionTable] = {}
        self.plans: dict[float | None, tuple[InspectionTable, float]] = {}
        self.planned_at: int = 0  # news that had come when these plans were made


class Schedule:
    """Tells at which age to look at a task, and learns from what the looks find.

    Ages, estimates and intervals are in seconds; an age counts from the submission of the task. `group` is any hashable
    value; tasks of one group (say: same model, resolution and number of outputs) are expected to take alike. `estimate`
    is whatever the server announced, None included: nonsense is harmless, and an estimate that turns out to mean nothing
    is ignored after some tasks. It may change during the life of a task.

    There is no clock and no randomness inside: equal calls give equal answers.

    Args:
        poll_cost: Seconds of delay that one look is worth, above 0.
        min_interval: No look comes sooner than this after the one before (or after the submission).
        max_interval: No look comes later than this after the one before (or after the submission).

    Raises:
        ValueError: A figure is not positive and finite, or `max_interval` is shorter than `min_interval`.
    """

    def __init__(
        self, *, poll_cost: float = 0.25, min_interval: float = 0.5, max_interval: float = 180.0
    ) -> None:
        for name, value in (
            ("poll_cost", poll_cost),
            ("min_interval", min_interval),
            ("max_interval", max_interval),
        ):
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

    def next_poll(
        self, group: Hashable, estimate: float | None, age: float, *, jitter: float = 0.5
    ) -> float:
        """Return the age at which to look next at a task that was still running at `age`.

        The answer lies between `age + min_interval` and `age + max_interval`.

        Args:
            group: What kind of task it is.
            estimate: Seconds that the server announced, or None.
            age: Age at the last look; 0.0 if there was none yet.
            jitter: A number in [0, 1), drawn anew for every call. It spreads the looks of tasks that were submitted
                together over a part of an interval, which costs about 1 %. The default is the optimum itself.
                While no end in the group is known, the first looks of six in ten jitters come sooner, down to a fifth
                of that age: the first end that is found tells when to look at the others.
        """
        age = max(age, 0.0) if age == age else 0.0  # noqa: PLR0124 - NaN
        known_age = min(age, OLDEST)
        jitter = min(max(jitter, 0.0), 1.0)
        known = self._group(group)
        table, scale = self._table(known, _usable(estimate))
        if known_age == 0.0 and not known.history.seen:
            interval = table.first_in_ignorance(jitter) * scale
        else:
            interval = table.after(known_age / scale, jitter) * scale - known_age
        if interval > self._longest:
            # a crowd that waits for the bound must not arrive there as one
            interval = self._longest * (1.0 - 0.1 * jitter)
        return age + max(interval, self._shortest)

    def chance(
        self, group: Hashable, estimate: float | None, seen_running_at: float, age: float
    ) -> float:
        """Return the probability that a task has ended by `age`, given that it ran at `seen_running_at`.

        When there are more tasks to look at than looks to spend, the one with the highest chance is worth its look most.
        """
        table, scale = self._table(self._group(group), _usable(estimate))
        before = still(table.survival, place(seen_running_at / scale))
        after = still(table.survival, place(age / scale))
        return min(max(1.0 - after / before, 0.0), 1.0)

    def still_running(
        self, group: Hashable, estimate: float | None, since: float, age: float
    ) -> None:
        """Learn that a task that ran at the age `since` (0.0: was submitted) ran at `age` as well.

        Optional. When many tasks are in flight, the first ends that are seen are those of the quickest tasks; knowing of
        the others keeps them from being taken for the rule, and before the first end it puts off looks at tasks alike.
        """
        if 0.0 <= since <= age <= OLDEST:
            self._group(group).history.still_running(_usable(estimate), since, age)

    def observe(
        self, group: Hashable, estimate: float | None, ran_until: float, ended_by: float
    ) -> None:
        """Learn that a task ended after the age `ran_until` (0.0: was submitted) and by the age `ended_by`."""
        if 0.0 <= ran_until <= ended_by <= OLDEST:
            self._group(group).history.observe(_usable(estimate), ran_until, ended_by)
            self._groups[group] = self._groups.pop(group)  # the last in line to be forgotten

    def revision(self, group: Hashable) -> int:
        """Return a number that grows whenever so much was learned that known due times are worth a second thought.

        It grows with the 1st, 2nd, 3rd, 4th, 6th, 8th, 12th, 16th, ... end of a task of the group. Ask `next_poll` again
        then, with the age of the last look, for the tasks in flight: those submitted before the first end was seen were
        planned in ignorance. In the first 50 tasks of a group that saves a twentieth of the cost.
        """
        known = self._groups.get(group)
        seen = known.history.seen if known else 0
        if seen < 2:  # noqa: PLR2004
            return seen
        power = seen.bit_length() - 1
        return 2 * power + (seen >= 3 << (power - 1))

    def to_json(self) -> dict[str, object]:
        """Return what was learned as a mapping that `json.dumps` takes.

        Groups are kept whose value consists of strings, numbers, booleans, None and tuples of these.
        """
        return exported((name, known.history) for name, known in self._groups.items())

    def from_json(self, data: object) -> int:
        """Take over what `to_json` returned, also after a trip through JSON, and return how many ends it holds.

        What cannot be read is left out, whatever it is: a lost memory costs some looks, a refused one a start.
        """
        taken = 0
        for name, evidence, ends in imported(data):
            history = self._group(name).history
            for estimate, low, high in ends:
                history.remember(_usable(estimate), min(low, OLDEST), min(high, OLDEST))
            history.evidence = evidence
            taken += len(ends)
        return taken

    def _group(self, name: Hashable) -> _Group:
        known = self._groups.get(name)
        if known is None:
            if len(self._groups) >= GROUPS:
                del self._groups[next(iter(self._groups))]
            known = self._groups[name] = _Group(self._first_guess())
        return known

    def _first_guess(self) -> History:
        """Return an empty history that expects what other groups took as much as what is usual."""
        kin = [g.history for g in self._groups.values() if g.history.seen >= KIN_SEEN][-KIN:]
        if not kin:
            return History()
        for history in kin:
            history.learn()
        return History(
            _mixed(guess_relative(), [history.relative.mass for history in kin]),
            _mixed(guess_absolute(), [history.absolute.mass for history in kin]),
        )

    def _table(self, known: _Group, estimate: float | None) -> tuple[InspectionTable, float]:
        """Return the table for an estimate, and by what to divide ages before they are looked up in it."""
        if known.planned_at != known.history.news or len(known.plans) > PLANS:
            known.planned_at = known.history.news
            known.plans.clear()
        plan = known.plans.get(estimate)
        if plan is None:
            plan = known.plans[estimate] = self._plan(known, estimate)
        plan[0].uses += 1
        return plan

    def _plan(self, known: _Group, estimate: float | None) -> tuple[InspectionTable, float]:
        history = known.history
        trust = 0.0 if estimate is None else history.trust
        if estimate is None or trust < USELESS:
            return self._fresh(known, None, 0.0), 1.0
        shift = shift_of(estimate)
        bucket = round(shift / ESTIMATE_STEP) * ESTIMATE_STEP
        table = self._fresh(known, bucket, trust)
        if trust < 0.5:  # noqa: PLR2004 - seconds count for more than the estimate
            return table, 1.0
        return table, math.exp((shift - bucket) * STEP)

    def _fresh(self, known: _Group, bucket: int | None, trust: float) -> InspectionTable:
        history = known.history
        table = known.tables.get(bucket)
        if table is not None and (
            not history.is_news(table.born)
            or (
                table.uses < USES
                and history.seen > YOUNG
                and history.news - table.born < len(history.ended) // 2
            )
        ):
            return table
        history.learn()
        survival: Sequence[float] = history.absolute.survival
        if bucket is not None:
            relative = _slid(history.relative.survival, bucket)
            survival = [a + trust * (r - a) for r, a in zip(relative, survival, strict=True)]
        table = known.tables[bucket] = InspectionTable(
            survival,
            poll_cost=self._poll_cost,
            shortest=self._shortest,
            longest=self._longest,
            born=history.news,
        )
        return table


def _usable(estimate: float | None) -> float | None:
    if estimate is None or not SHORTEST_ESTIMATE <= estimate <= LONGEST_ESTIMATE:
        return None
    return estimate


def _slid(survival: list[float], by: int) -> list[float]:
    """Return the survival by seconds for one by elapsed / estimate, `by` bins further up (or down, if negative)."""
    if by >= 0:
        return [1.0] * by + survival[: BINS + 1 - by]
    return [1.0, *survival[1 - by :], *([survival[-1]] * -by)]


def _mixed(guess: list[float], known: Sequence[list[float]]) -> list[float]:
    share = KIN_SHARE / len(known)
    return [
        (1.0 - KIN_SHARE) * first + share * sum(rest)
        for first, *rest in zip(guess, *known, strict=True)
    ]
