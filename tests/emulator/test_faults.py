"""Which request a line of the script hits."""

from __future__ import annotations

import random

import pytest

from foxapi_async.emulator import Answer, Call, Drop, Fate, Fault, Hang, Rewrite, Script


def _call(route: str = "submit", prompt: str = "a fox") -> Call:
    return Call(route, "POST", "/", {}, {}, {"prompt": prompt}, None)


def _script(*faults: Fault) -> Script:
    script = Script(random.Random(1))
    script.add(*faults)
    return script


def test_a_script_is_played_line_by_line_and_then_all_is_well():
    script = _script(Fault("submit", Drop()), Fault("submit", Hang(), times=2))
    played = [script.pick(_call()) for _ in range(4)]
    assert played == [(Drop(),), (Hang(),), (Hang(),), ()]
    assert script.waiting == ()


def test_a_fault_concerns_its_route_only():
    script = _script(Fault("poll", Drop()))
    assert script.concerns("poll")
    assert not script.concerns("submit")
    assert script.pick(_call("submit")) == ()
    assert script.pick(_call("poll")) == (Drop(),)
    assert not script.concerns("poll")


def test_nth_counts_also_the_requests_that_another_fault_took():
    script = _script(Fault("submit", Hang()), Fault("submit", Drop(), nth=3, times=2))
    played = [bool(script.pick(_call())) for _ in range(6)]
    assert played == [True, False, True, True, False, False]


def test_a_predicate_chooses_by_prompt():
    script = _script(Fault("submit", Drop(), when=lambda call: "cat" in call.prompt, times=None))
    assert [bool(script.pick(_call(prompt=word))) for word in ("cat", "fox", "cats")] == [
        True,
        False,
        True,
    ]
    assert len(script.waiting) == 1
    script.clear()
    assert script.pick(_call(prompt="cat")) == ()


def test_a_chance_hits_about_as_often_as_it_says():
    script = _script(Fault("submit", Drop(), times=None, chance=0.25))
    assert 180 < sum(bool(script.pick(_call())) for _ in range(1000)) < 320


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda: Fault("submissions", Drop()), "no such route"),
        (lambda: Fault("poll", Fate(ends_as="failed")), "submitted"),
        (lambda: Fault("download", Rewrite({})), "file"),
        (lambda: Fault("submit", Drop(), nth=0), "count from 1"),
        (lambda: Fault("submit", Drop(), times=0), "count from 1"),
        (lambda: Fault("submit", Drop(), chance=2), "probability"),
    ],
)
def test_a_line_that_could_never_be_played_is_refused_when_it_is_written(wrong, word):
    with pytest.raises(ValueError, match=word):
        wrong()


def test_several_effects_belong_to_one_fault():
    assert Fault("submit", [Fate(ends_as="failed"), Drop(carried_out=True)]).do == (
        Fate(ends_as="failed"),
        Drop(carried_out=True),
    )
    assert Fault("submit", Answer(500)).do == (Answer(500),)
