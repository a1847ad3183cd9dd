"""The rate scheduler: no limit until a 429, then a pause, then the rate that the server accepts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.limits.measures import (
    refused_share,
    served_per_second,
    submissions,
    time_to_adapt,
)
from benchmarks.limits.phases import RECOVERED, Cap, Phase
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
    for late in lateness:
        while (delay := scheduler.delay(lane, now)) > 0:
            now += delay
        now += late
        scheduler.sent(lane, now)
        moments.append(now)
    return moments


def test_without_a_429_there_is_no_limit():
    assert send_all(RateScheduler(), Lane.SUBMIT, lateness=[0.0] * 1000) == [0.0] * 1000


def test_the_refusal_of_a_single_request_in_an_outage_does_not_cut_the_rate():
    scheduler = RateScheduler()
    scheduler.sent(Lane.SUBMIT, 0.0)
    scheduler.refused(Lane.SUBMIT, 0.1, None, in_flight=0, is_single=True)
    scheduler.sent(Lane.SUBMIT, 30.0)
    scheduler.answered(Lane.SUBMIT, 30.1, in_flight=1)
    assert scheduler.rate(30.1) is None
    assert scheduler.room_delay(1, 100, 31.0) == 0


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


@given(st.floats(0, 3600), st.sampled_from(Lane))
def test_nothing_is_sent_before_retry_after_has_passed(wait, lane):
    scheduler = RateScheduler()
    scheduler.sent(lane, 0.0)
    scheduler.refused(lane, 1.0, wait, sent_at=0.0, in_flight=7)
    assert 1.0 + scheduler.delay(lane, 1.0) >= 1.0 + wait
    assert scheduler.delay(lane, 1.0 + wait + 1.2) == 0.0


@pytest.mark.parametrize("retry_after", [None, 0.0, 30.0])
@pytest.mark.parametrize(
    ("refused", "free"),
    [(Lane.SUBMIT, Lane.POLL), (Lane.SUBMIT, Lane.OTHER), (Lane.POLL, Lane.SUBMIT)],
)
def test_submissions_and_other_requests_pause_separately(refused, free, retry_after):
    scheduler = RateScheduler()
    scheduler.sent(refused, 0.0)
    scheduler.refused(refused, 0.1, retry_after, sent_at=0.0)
    assert scheduler.delay(refused, 0.1) > 0
    assert scheduler.delay(free, 0.1) == 0.0


def test_polls_and_other_requests_pause_together():
    scheduler = RateScheduler()
    scheduler.sent(Lane.POLL, 0.0)
    scheduler.refused(Lane.POLL, 0.1, 5.0, sent_at=0.0)
    assert scheduler.delay(Lane.OTHER, 0.1) == scheduler.delay(Lane.POLL, 0.1) == 5.0


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


def test_a_pause_applies_to_its_lane_only():
    scheduler = RateScheduler()
    scheduler.pause(Lane.SUBMIT, 1.0, 4.0)
    assert [scheduler.delay(lane, 2.0) for lane in Lane] == [3.0, 0.0, 0.0]


def test_an_answer_ends_the_gap_between_probes():
    scheduler = RateScheduler()
    now = 0.0
    for _ in range(20):
        now += scheduler.delay(Lane.SUBMIT, now)
        scheduler.sent(Lane.SUBMIT, now)
        scheduler.refused(Lane.SUBMIT, now + 0.01, None, sent_at=now)
    now += scheduler.delay(Lane.SUBMIT, now)
    scheduler.sent(Lane.SUBMIT, now)
    assert scheduler.delay(Lane.SUBMIT, now) > 3
    assert scheduler.answered(Lane.SUBMIT, now + 0.1, sent_at=now)
    assert scheduler.delay(Lane.SUBMIT, now + 0.1) < 1.5


def test_the_rate_is_that_of_the_slower_lane():
    scheduler = RateScheduler()
    assert scheduler.rate(0.0) is None
    for n in range(80):
        scheduler.sent(Lane.POLL, n / 20)
    scheduler.refused(Lane.POLL, 4.0, None, sent_at=3.9)
    polls = scheduler.rate(4.0)
    scheduler.sent(Lane.SUBMIT, 4.0)
    scheduler.refused(Lane.SUBMIT, 4.1, None, sent_at=4.0)
    both = scheduler.rate(4.1)
    assert polls == pytest.approx(17.0, rel=0.1)
    assert both == pytest.approx(8.5)


actions = st.tuples(
    st.sampled_from(["sent", "answered", "refused", "pause"]),
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
        else:
            scheduler.pause(lane, now, gap)
        assert all(0 <= scheduler.delay(each, now) <= 7200 for each in Lane)
        assert math.isfinite(scheduler.room_delay(1, in_flight or 0, now))


@pytest.mark.parametrize("retry_after", [silent, whole_seconds])
@pytest.mark.parametrize(("rate", "burst"), [(5, 25), (5, 5), (20, 20)])
def test_the_rate_of_a_token_bucket_is_found_and_followed(rate, burst, retry_after):
    server = TokenBucket(rate, burst)
    run = RateRun(server, RateScheduler(), seed=11, retry_after=retry_after)
    run.run(240)
    assert served_per_second(run.records, 60, 240) >= 0.85 * rate
    assert refused_share(run.records, 60, 240) <= 0.05
    server.rate = rate / 2
    run.run(390)
    server.rate = rate
    run.run(540)
    halved = time_to_adapt(run.records, 240, 390, rate / 2)
    doubled = time_to_adapt(run.records, 390, 540, rate)
    assert halved is not None
    assert halved <= 40
    assert doubled is not None
    assert doubled <= 40


@pytest.mark.parametrize(
    ("server", "retry_after"),
    [
        (FixedWindow(20, 1.0), silent),
        (FixedWindow(20, 10.0), silent),
        (FixedWindow(20, 60.0), silent),
        (FixedWindow(20, 60.0), whole_seconds),
        (SlidingWindow(20, 10.0), silent),
        (SlidingWindow(5, 10.0), whole_seconds),
        (TokenBucket(20, 1), silent),
        (TokenBucket(20, 1), whole_seconds),
        (TokenBucket(30, 30), http_date),
        (TokenBucket(10, 50), constant(2.0)),
    ],
    ids=[
        "window of 1 s",
        "window of 10 s",
        "window of 60 s",
        "window of 60 s, Retry-After",
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
    run.run(360)
    assert served_per_second(run.records, 180, 360) >= 0.85 * rate
    assert refused_share(run.records, 180, 360) <= 0.05


def test_two_lanes_share_a_limit():
    lanes = (Lane.SUBMIT, Lane.POLL)
    run = RateRun(TokenBucket(20, 20), RateScheduler(), seed=2, lanes=lanes)
    run.run(240)
    assert served_per_second(run.records, 60, 240) >= 0.85 * 20
    assert refused_share(run.records, 60, 240) <= 0.05


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


@pytest.mark.parametrize("retry_after", [None, 0.0, 5.0, 30.0])
@pytest.mark.parametrize("length", [5.0, 20.0, 60.0, 180.0])
def test_a_phase_of_refusals_is_over_soon_after_its_end(length, retry_after):
    recovered, refusals = Phase((2.0, 10.0), 32, length, retry_after).run(seed=3)
    assert recovered is not None
    assert recovered <= RECOVERED
    assert refusals <= 32 + length


def test_two_phases_of_refusals_in_a_row_leave_the_rate():
    class Twice(TokenBucket):
        def allows(self, now: float) -> bool:
            return not (30 <= now < 90 or 110 <= now < 170) and super().allows(now)

    run = RateRun(Twice(20, 20), RateScheduler(), seed=25)
    run.run(260)
    assert time_to_adapt(run.records, 170, 260, 20, served=0.8) is not None
    assert served_per_second(run.records, 200, 260) >= 0.85 * 20


def test_throttling_ends_when_the_limit_is_removed():
    server = TokenBucket(5, 5)
    run = RateRun(server, RateScheduler(), seed=5)
    run.run(60)
    server.rate = 1e9
    run.run(140)
    assert served_per_second(run.records, 138, 140) > 100


def test_a_client_below_the_limit_is_soon_not_throttled():
    run = RateRun(
        TokenBucket(20, 20), RateScheduler(), seed=7, demand=lambda now: 80 if now == 0 else 1
    )
    run.run(180)
    assert refused_share(run.records, 0, 5) > 0
    assert served_per_second(run.records, 60, 180) == pytest.approx(10, rel=0.02)
    assert refused_share(run.records, 60, 180) < 0.02


@pytest.mark.parametrize("has_header", [False, True])
@pytest.mark.parametrize("cap", [8, 16, 48])
def test_a_cap_on_images_in_flight_is_found_followed_and_kept_busy(cap, has_header):
    assert "missed" not in Cap(cap, (2.0, 10.0), has_header).run(seed=13)


def test_a_limit_on_the_rate_is_not_mistaken_for_a_cap():
    server = TokenBucket(2, 2)
    run = TaskRun(1000, RateScheduler(), seed=17, server=server, limited=(Lane.SUBMIT,))
    run.run(300)
    sent = submissions(run.records)
    assert served_per_second(sent, 60, 300) >= 0.8 * 2
    assert refused_share(sent, 60, 300) <= 0.1
