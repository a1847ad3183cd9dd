"""The soak command complains about a leak, and about nothing else."""

from __future__ import annotations

import random

import pytest

from tests.proof.growth import Sample, complaints, growth


def samples(seed: int, number: int, **slopes: float) -> list[Sample]:
    """Return noisy samples, four a second, that grow by ``slopes`` a second after a steep start."""
    rng = random.Random(seed)
    made: list[Sample] = []
    for index in range(number):
        at = index / 4
        start = 30 * min(1.0, 4 * index / number)

        def value(name: str, usual: float, noise: float, at: float = at) -> float:
            spike = 8 * noise if rng.random() < 0.08 else 0
            return usual + slopes.get(name, 0.0) * at + rng.gauss(0, noise) + spike

        made.append(
            Sample(
                at,
                start + value("memory", 70, 0.4),
                int(value("descriptors", 40, 4)),
                int(value("tasks", 50, 5)),
                value("lag", 10, 4),
            )
        )
    return made


@pytest.mark.parametrize("number", [120, 400, 2400])
@pytest.mark.parametrize("seed", range(10))
def test_noise_is_no_growth(seed: int, number: int):
    assert complaints(samples(seed, number)) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("name", "slope"), [("memory", 0.5), ("descriptors", 1.5), ("tasks", 2.5), ("lag", 6)]
)
def test_a_leak_is_noticed_in_thirty_seconds(seed: int, name: str, slope: float):
    [said] = complaints(samples(seed, 120, **{name: slope}))
    assert said.startswith(name)


def test_a_smaller_leak_is_noticed_in_ten_minutes():
    assert complaints(samples(1, 120, memory=0.02)) == []
    assert len(complaints(samples(1, 2400, memory=0.02))) == 1


@pytest.mark.parametrize("number", [3, 50, 119, 300])
@pytest.mark.parametrize("slope", [-4.0, 0.0, 0.3, 5.0])
def test_the_growth_of_a_line_is_its_rise(slope: float, number: int):
    points = [(float(at), slope * at) for at in range(number)]
    assert abs(growth(points) - slope * (number - 1)) <= abs(slope) * number / 60 + 1e-6
