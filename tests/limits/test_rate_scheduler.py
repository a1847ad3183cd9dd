"""The rate scheduler: no limit until a 429, then a pause, then the rate that the server accepts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.limits.measures import (
    lane_share,
    refused_share,
    served_per_second,
    time_to_adapt,
)
from benchmarks.limits.servers import (
    FixedWindow,
    RetryAfter,
    SlidingWindow,
    TokenBucket,
    constant,
    http_date,
    silent,
    whole_seconds,
)
from benchmarks.limits.simulation import RateRun
from benchmarks.limits.tasks import TaskRun
from foxapi_async.limits.rate_scheduler import Lane, RateScheduler

pytestmark = pytest.mark.once


def send_all(scheduler: RateScheduler, lane: Lane, *, lateness: list[float]) -> list[float]:
    """Send as fast as allowed, each request with a given lateness, and return the send times."""
    now, moments = 0.0, []
    scheduler.waiting(lane, 1)
    for late in lateness:
        while (delay := scheduler.delay(lane, now)) > 0:
            now += delay
        now += late
        scheduler.sent(lane, now)
        moments.append(now)
    return moments


def slowed(rate: float = 10.0) -> tuple[RateScheduler, float]:
    """Return a scheduler that has met a limit, and a time after its pause."""
    scheduler = RateScheduler()
    for n in range(100):
        scheduler.sent(Lane.POLL, n / rate)
        scheduler.answered(Lane.POLL, n / rate, sent_at=n / rate)
    for _ in range(2):
        now = 100 / rate
        scheduler.refused(Lane.POLL, now, None, sent_at=99 / rate)
    return scheduler, now + 1.0


def test_without_a_429_there_is_no_limit():
    assert send_all(RateScheduler(), Lane.SUBMIT, lateness=[0.0] * 1000) == [0.0] * 1000


@given(st.floats(0.01, 1e4), st.lists(st.floats(0, 0.05) | st.just(0.0), min_size=2, max_size=60))
def test_a_ceiling_holds_in_every_time_span(ceiling, lateness):
    scheduler = RateScheduler(submissions_per_second=ceiling)
    moments = send_all(scheduler, Lane.SUBMIT, lateness=lateness)
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            most = ceiling * (moments[last] - begin + 0.02) + 1
            assert last - first + 1 <= most * (1 + 1e-9)


def test_a_ceiling_is_reached_with_late_timers():
    scheduler = RateScheduler(polls_per_second=50)
    moments = send_all(scheduler, Lane.POLL, lateness=[0.004] * 500)
    assert 500 / moments[-1] == pytest.approx(50, rel=0.01)


def test_the_ceiling_of_one_lane_does_not_slow_the_other():
    scheduler = RateScheduler(submissions_per_second=1)
    scheduler.sent(Lane.SUBMIT, 0.0)
    assert scheduler.delay(Lane.SUBMIT, 0.0) == 1.0
    assert scheduler.delay(Lane.POLL, 0.0) == 0.0


@pytest.mark.parametrize("ceiling", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_ceiling_is_refused(ceiling):
    with pytest.raises(ValueError, match="above 0"):
        RateScheduler(polls_per_second=ceiling)


@given(st.floats(0, 3600), st.sampled_from(Lane), st.sampled_from(Lane))
def test_nothing_is_sent_before_retry_after_has_passed(wait, refused, lane):
    scheduler = RateScheduler()
    scheduler.sent(refused, 0.0)
    scheduler.refused(refused, 1.0, wait, sent_at=0.0, in_flight=7)
    assert 1.0 + scheduler.delay(lane, 1.0) >= 1.0 + wait
    assert scheduler.delay(Lane.POLL, 1.0 + wait + 0.06) == 0.0


@pytest.mark.parametrize("wait", [-1.0, float("nan"), float("inf"), 3600.1])
def test_an_invalid_retry_after_is_ignored(wait):
    scheduler = RateScheduler()
    scheduler.sent(Lane.POLL, 0.0)
    scheduler.refused(Lane.POLL, 1.0, wait)
    assert 0 < scheduler.delay(Lane.POLL, 1.0) <= 60


def test_a_later_retry_after_of_the_same_burst_extends_the_pause():
    scheduler = RateScheduler()
    scheduler.sent(Lane.POLL, 0.0)
    scheduler.sent(Lane.POLL, 0.0)
    scheduler.refused(Lane.POLL, 0.1, 1.0, sent_at=0.0)
    scheduler.refused(Lane.POLL, 0.2, 5.0, sent_at=0.0)
    scheduler.refused(Lane.POLL, 0.3, 1.0, sent_at=0.0)
    assert scheduler.delay(Lane.POLL, 0.3) == pytest.approx(4.9)


@pytest.mark.parametrize("with_sent_at", [True, False])
def test_a_burst_of_refusals_is_one_event(with_sent_at):
    once, often = RateScheduler(), RateScheduler()
    for scheduler, refusals in ((once, 1), (often, 64)):
        for _ in range(64):
            scheduler.sent(Lane.POLL, 0.0)
        for n in range(refusals):
            sent_at = 0.0 if with_sent_at else None
            scheduler.refused(Lane.POLL, 0.1 + n / 1000, None, sent_at=sent_at)
    assert often.rate(0.2) == once.rate(0.2)
    for lane in (Lane.POLL, Lane.SUBMIT):
        assert often.delay(lane, 0.2) == once.delay(lane, 0.2)
        assert often.room_delay(64, 64, 0.2) == once.room_delay(64, 64, 0.2)


def test_a_pause_applies_to_every_lane():
    scheduler = RateScheduler()
    scheduler.pause(1.0, 4.0)
    assert [scheduler.delay(lane, 2.0) for lane in Lane] == [3.0] * 3


def test_lanes_with_waiting_requests_share_the_rate_equally():
    scheduler, now = slowed()
    for lane in Lane:
        scheduler.waiting(lane, 5)
    sent = []
    for _ in range(9):
        delay, lane = min(
            ((scheduler.delay(lane, now), lane) for lane in Lane), key=lambda it: it[0]
        )
        now += delay
        scheduler.sent(lane, now)
        sent.append(lane)
    assert all(2 <= sent.count(lane) <= 4 for lane in Lane)
    assert set(sent[-3:]) == set(Lane)


def test_an_idle_lane_does_not_accumulate_turns():
    scheduler, now = slowed()
    scheduler.waiting(Lane.POLL, 5)
    for _ in range(20):
        now += scheduler.delay(Lane.POLL, now)
        scheduler.sent(Lane.POLL, now)
    scheduler.waiting(Lane.SUBMIT, 5)
    sent = []
    for _ in range(6):
        delays = {lane: scheduler.delay(lane, now) for lane in (Lane.SUBMIT, Lane.POLL)}
        lane = min(delays, key=lambda each: delays[each])
        now += delays[lane]
        scheduler.sent(lane, now)
        sent.append(lane)
    assert sent.count(Lane.SUBMIT) in (3, 4)


def test_a_lane_that_skips_its_turn_delays_the_others_only_briefly():
    scheduler, now = slowed()
    scheduler.waiting(Lane.SUBMIT, 1)
    scheduler.sent(Lane.POLL, now)
    free = now + scheduler.delay(Lane.SUBMIT, now)
    assert 0 < now + scheduler.delay(Lane.POLL, now) - free <= 0.06


def test_a_rate_reduction_caused_by_a_cap_is_reverted():
    scheduler, found = RateScheduler(), []
    for start in (0.0, 20.0):
        for n in range(20):
            lane = Lane.SUBMIT if n == 19 else Lane.POLL
            now = start + n / 2
            scheduler.sent(lane, now)
            if lane is Lane.POLL:
                scheduler.answered(lane, now + 0.1, sent_at=now)
        scheduler.refused(Lane.SUBMIT, now + 0.1, None, sent_at=now, in_flight=16)
        found.append((scheduler.rate(now + 0.1) is None, scheduler._window.limit))
    assert found == [(False, None), (True, 16)]
    assert scheduler.room_delay(1, 16, now + 0.1) > 0
    assert scheduler.delay(Lane.POLL, now + 0.1) == 0.0


actions = st.tuples(
    st.sampled_from(["sent", "answered", "refused", "pause", "waiting"]),
    st.sampled_from(Lane),
    st.floats(0, 50) | st.floats(0, 0.1),
    st.none() | st.floats(),
    st.none() | st.integers(0, 100),
)


@given(st.lists(actions, max_size=60))
def test_every_delay_ends(events):
    scheduler, now = RateScheduler(polls_per_second=5), 0.0
    for what, lane, gap, number, in_flight in events:
        now += gap
        if what == "sent":
            now += scheduler.delay(lane, now)
            now += scheduler.delay(lane, now)
            scheduler.sent(lane, now)
        elif what == "answered":
            scheduler.answered(lane, now, sent_at=now - gap, in_flight=in_flight)
        elif what == "refused":
            scheduler.refused(lane, now, number, sent_at=now - gap, in_flight=in_flight)
        elif what == "pause":
            scheduler.pause(now, gap)
        else:
            scheduler.waiting(lane, in_flight or 0)
        assert all(0 <= scheduler.delay(each, now) <= 3700 for each in Lane)
        assert math.isfinite(scheduler.room_delay(1, in_flight or 0, now))


@pytest.mark.parametrize("retry_after", [silent, whole_seconds])
@pytest.mark.parametrize(("rate", "burst"), [(2, 10), (5, 5), (20, 20)])
def test_the_rate_of_a_token_bucket_is_found_and_followed(rate, burst, retry_after):
    server = TokenBucket(rate, burst)
    run = RateRun(server, RateScheduler(), seed=11, retry_after=retry_after)
    run.run(240)
    assert served_per_second(run.records, 60, 240) >= 0.95 * rate
    assert refused_share(run.records, 60, 240) < 0.02
    assert 0.45 < lane_share(run.records, Lane.SUBMIT, 60, 240) < 0.55
    server.rate = rate / 2
    run.run(390)
    server.rate = rate
    run.run(540)
    halved = time_to_adapt(run.records, 240, 390, rate / 2)
    doubled = time_to_adapt(run.records, 390, 540, rate)
    assert halved is not None
    assert halved <= 60
    assert doubled is not None
    assert doubled <= 60


@pytest.mark.parametrize("seed", [1, 2])
def test_the_rate_of_a_fixed_window_is_found(seed):
    run = RateRun(FixedWindow(20, 1.0), RateScheduler(), seed=seed)
    run.run(240)
    assert served_per_second(run.records, 60, 240) >= 0.95 * 20
    assert refused_share(run.records, 60, 240) < 0.02


@pytest.mark.parametrize(
    ("server", "retry_after"),
    [
        (SlidingWindow(20, 10.0), silent),
        (SlidingWindow(5, 10.0), whole_seconds),
        (TokenBucket(20, 1), silent),
        (TokenBucket(20, 1), whole_seconds),
        (TokenBucket(30, 30), http_date),
        (TokenBucket(10, 50), constant(2.0)),
    ],
    ids=[
        "sliding",
        "sliding, Retry-After",
        "no burst",
        "no burst, Retry-After",
        "dates",
        "always 2 s",
    ],
)
def test_the_rate_of_other_servers_is_found(server, retry_after: RetryAfter):
    rate = server.rate
    run = RateRun(server, RateScheduler(), seed=21, retry_after=retry_after)
    run.run(240)
    assert served_per_second(run.records, 60, 240) >= 0.93 * rate
    assert refused_share(run.records, 60, 240) < 0.02


def test_nothing_is_sent_while_the_server_asks_to_wait():
    pauses: list[tuple[float, float]] = []
    run = RateRun(TokenBucket(5, 1), RateScheduler(), seed=23, jitter=0.05, slow=1.0)

    def five(_free_in: float, now: float) -> float:
        pauses.append((now, 5.0))
        return 5.0

    run.retry_after = five
    run.run(300)
    assert pauses
    latest_refusal, trip = 1.05, 0.6
    for refused_at, seconds in pauses:
        known, end = refused_at + latest_refusal, refused_at + seconds
        assert not [each for each in run.records if known + trip < each.at < end]


def test_a_server_that_refuses_everything_for_minutes_does_not_end_the_session():
    class Broken(TokenBucket):
        def allows(self, now: float) -> bool:
            return not 30 <= now < 330 and super().allows(now)

    run = RateRun(Broken(20, 20), RateScheduler(), seed=25)
    run.run(480)
    during = [each for each in run.records if 40 <= each.at < 330]
    assert 5 <= len(during) <= 40
    assert served_per_second(run.records, 420, 480) >= 0.9 * 20


def test_a_limit_of_a_hundred_requests_per_second_is_found():
    run = RateRun(TokenBucket(100, 100), RateScheduler(), seed=3)
    run.run(120)
    assert served_per_second(run.records, 60, 120) >= 95
    assert refused_share(run.records, 60, 120) < 0.01


def test_throttling_ends_when_the_limit_is_removed():
    server = TokenBucket(5, 5)
    run = RateRun(server, RateScheduler(), seed=5)
    run.run(60)
    server.rate = 1e9
    run.run(180)
    assert served_per_second(run.records, 178, 180) > 100


def test_a_client_below_the_limit_is_soon_not_throttled():
    run = RateRun(
        TokenBucket(20, 20), RateScheduler(), seed=7, demand=lambda now: 80 if now == 0 else 1
    )
    run.run(180)
    assert refused_share(run.records, 0, 5) > 0
    assert served_per_second(run.records, 60, 180) == pytest.approx(10, rel=0.02)
    assert refused_share(run.records, 60, 180) < 0.02


@pytest.mark.parametrize("retry_after", [silent, whole_seconds])
@pytest.mark.parametrize("cap", [4, 16, 48])
def test_a_cap_on_images_in_flight_is_found_and_kept_busy(cap, retry_after):
    best = TaskRun(cap, RateScheduler(), seed=13, knows_cap=True)
    ours = TaskRun(cap, RateScheduler(), seed=13, retry_after=retry_after)
    for run in (best, ours):
        run.run(600)
    done, possible = (sum(at >= 60 for at in run.finished) for run in (ours, best))
    assert done >= 0.95 * possible
    assert refused_share(ours.records, 60, 600) < 0.02
    assert ours.scheduler.rate(600) is None


def test_a_limit_on_the_rate_is_not_mistaken_for_a_cap():
    run = TaskRun(1000, RateScheduler(), seed=17, server=TokenBucket(5, 5))
    run.run(300)
    assert run.scheduler._window.limit is None
    assert lane_share(run.records, Lane.SUBMIT, 60, 300) > 0.1


def test_a_cap_and_a_limit_on_the_rate_are_found_together():
    run = TaskRun(16, RateScheduler(), seed=19, server=TokenBucket(10, 10))
    run.run(600)
    assert run.scheduler._window.limit in range(12, 21)
    assert refused_share(run.records, 60, 600) < 0.03
