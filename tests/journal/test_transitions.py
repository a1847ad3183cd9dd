"""The life of an entry, walked through pair by pair."""

from __future__ import annotations

from itertools import product

import pytest

from foxapi_async.journal.transitions import (
    AFTER_A_CRASH,
    MOVES,
    ON_CLAIM,
    UNFINISHED,
    ForbiddenMove,
    JournalStatus,
    Verdict,
    check_move,
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
def test_every_pair_is_allowed_or_refused_as_the_table_says(before: S, after: S):
    if (before, after) in ALLOWED:
        check_move(before, after)
    else:
        with pytest.raises(ForbiddenMove, match=f"{before} → {after}"):
            check_move(before, after)


def test_the_table_knows_every_status():
    assert set(MOVES) == set(S)
    assert set(ON_CLAIM) | set(AFTER_A_CRASH) == set(S)


def test_nothing_is_posted_but_from_planned():
    assert [before for before in S if S.SENDING in MOVES[before]] == [S.PLANNED]


def test_an_entry_that_may_have_been_billed_never_becomes_planned_again():
    may_be_billed = {S.ACCEPTED, S.COMPLETED, S.FAILED, S.SAVED, S.UNKNOWN}
    for status in may_be_billed:
        assert not MOVES[status] & {S.PLANNED, S.SENDING, S.REJECTED}


def test_a_crash_is_a_move_of_the_table():
    for before, after in AFTER_A_CRASH.items():
        check_move(before, after)


@pytest.mark.parametrize("status", S)
def test_only_what_was_certainly_not_billed_is_submitted_again(status: S):
    verdict = on_claim(status, owner_alive=False)
    assert (verdict is Verdict.SUBMIT) == (status in {S.PLANNED, S.REJECTED})
    assert (verdict is Verdict.ASK) == (status in {S.SENDING, S.UNKNOWN})


@pytest.mark.parametrize("status", S)
def test_a_living_owner_is_waited_for_while_it_decides(status: S):
    waits = on_claim(status, owner_alive=True) is Verdict.WAIT
    assert waits == (status in {S.PLANNED, S.SENDING})


def test_unfinished_is_what_has_an_id_and_no_end():
    assert {S.ACCEPTED} == UNFINISHED
