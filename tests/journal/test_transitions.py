"""The table of transitions, checked for each pair of statuses."""

from __future__ import annotations

from itertools import product

import pytest

from foxapi_async.journal.entry import AFTER_CRASH, JournalStatus
from foxapi_async.journal.transitions import (
    ON_CLAIM,
    TRANSITIONS,
    UNFINISHED,
    ClaimDecision,
    ForbiddenTransitionError,
    check_transition,
    on_claim,
)

S = JournalStatus

ALLOWED = {
    (S.PLANNED, S.SENDING),
    (S.SENDING, S.PLANNED),
    (S.SENDING, S.ACCEPTED),
    (S.SENDING, S.REJECTED),
    (S.SENDING, S.UNKNOWN),
    (S.ACCEPTED, S.COMPLETED),
    (S.ACCEPTED, S.FAILED),
    (S.COMPLETED, S.SAVED),
    (S.SAVED, S.SAVED),
    (S.REJECTED, S.PLANNED),
    (S.UNKNOWN, S.ACCEPTED),
}


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_each_pair_is_allowed_or_refused_as_the_table_says(before: S, after: S):
    if (before, after) in ALLOWED:
        check_transition(before, after)
    else:
        with pytest.raises(ForbiddenTransitionError, match=f"{before} → {after}"):
            check_transition(before, after)


def test_the_table_knows_every_status():
    assert set(TRANSITIONS) == set(S)
    assert set(ON_CLAIM) | set(AFTER_CRASH) == set(S)


def test_only_a_planned_entry_is_sent():
    assert [before for before in S if S.SENDING in TRANSITIONS[before]] == [S.PLANNED]


def test_an_entry_that_may_have_been_billed_never_becomes_planned_again():
    may_be_billed = {S.ACCEPTED, S.COMPLETED, S.FAILED, S.SAVED, S.UNKNOWN}
    for status in may_be_billed:
        assert not TRANSITIONS[status] & {S.PLANNED, S.SENDING, S.REJECTED}


def test_a_crash_is_a_transition_of_the_table():
    for before, after in AFTER_CRASH.items():
        check_transition(before, after)


@pytest.mark.parametrize("status", S)
def test_only_what_was_certainly_not_billed_is_submitted_again(status: S):
    decision = on_claim(status, owner_alive=False)
    assert (decision is ClaimDecision.SUBMIT) == (status in {S.PLANNED, S.REJECTED})
    assert (decision is ClaimDecision.BLOCKED) == (status in {S.SENDING, S.UNKNOWN})


@pytest.mark.parametrize("status", S)
def test_a_claim_waits_for_a_living_owner_of_a_planned_or_sending_entry(status: S):
    waits = on_claim(status, owner_alive=True) is ClaimDecision.WAIT
    assert waits == (status in {S.PLANNED, S.SENDING})


def test_only_accepted_is_unfinished():
    assert {S.ACCEPTED} == UNFINISHED
