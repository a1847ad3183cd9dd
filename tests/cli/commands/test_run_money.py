"""`foxapi run` and money: what it says before and after, and what it does with an empty balance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foxapi_async import Retry, Session
from foxapi_async.cli import account
from foxapi_async.cli.account import ask_balance
from foxapi_async.emulator import Drop, Emulator, Fault, Hang, html
from tests.cli.process import environment, foxapi

pytestmark = pytest.mark.ordinary_loop


def write(path: Path, number: int) -> Path:
    lines = ({"prompt": f"p{n}", "num_outputs": 1 + n % 2} for n in range(number))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def test_cost_and_balance_are_said_before_and_after(emulated, tmp_path):
    jobs = write(tmp_path / "jobs.jsonl", 4)
    run = ["run", str(jobs), "-o", str(tmp_path / "out"), "--no-sheet"]
    async with emulated(credits=1_000_000) as (emulator, env):
        emulator.script(
            Fault("submit", Drop(carried_out=True), when=lambda call: call.prompt == "p3")
        )
        without = await foxapi(*run, "--dry-run", "--json", env=environment())
        first = await foxapi(*run, "--yes", "--json", env=env)
        emulator.faults.clear()
        dry = await foxapi(*run, "--dry-run", "--retry-unknown", "--json", env=env)
        second = await foxapi(*run, "--yes", "--retry-unknown", env=env)
    assert (without.code, without.document["cost"]) == (0, None)
    assert "price and balance are not known: there is no API key" in without.err

    assert first.document["cost"]["usd"] == pytest.approx({"per_call": 0.24, "per_image": 0.36})
    assert first.document["cost"]["credits"] is None
    before, after = (first.document["balance"][name]["key"] for name in ("before", "after"))
    assert (before["remaining"], after["remaining"]) == (1_000_000, 820_000)
    assert first.document["billed_in_all_runs"] == {"outputs": 4, "outputs_unknown": 2}

    assert dry.document["cost"]["credits"] == {"least": 60_000, "most": 60_000}
    assert (
        "60,000 credits by earlier results of this folder (30,000 credits per image)" in second.err
    )
    assert "  price       0.06 USD if a call costs once, 0.12 USD if each image does" in second.err
    assert "  balance     this key: 820,000 credits left, 180,000 used" in second.err
    assert "billed in this run: 2 images; in all runs of this folder: 6" in second.err
    assert "perhaps also billed: 0 images; in all runs of this folder: 2" in second.err
    assert "760,000 credits, 820,000 before this run (60,000 less" in second.err


async def test_without_an_answer_about_money_the_run_goes_on(emulated, tmp_path):
    jobs = write(tmp_path / "jobs.jsonl", 1)
    async with emulated() as (emulator, env):
        emulator.script(
            Fault("credits", html(404), times=None), Fault("pricing", html(200), times=None)
        )
        done = await foxapi("run", str(jobs), "-o", str(tmp_path / "out"), "--yes", env=env)
    assert done.code == 0
    assert "price       not known: GET /api/pricing" in done.err
    assert "balance     not known: GET /v1/account/credits" in done.err


async def test_a_server_that_never_answers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(account, "_LONGEST", 0.05)
    async with (
        Emulator(faults=[Fault("credits", Hang())]) as emulator,
        Session("sk-emulator", base_url=emulator.url, retry=Retry(attempts=1)) as session,
    ):
        assert await ask_balance(session) == "no answer within 0.05 s"


async def test_an_empty_balance_costs_one_probe_and_one_line(emulated, tmp_path):
    jobs = write(tmp_path / "jobs.jsonl", 20)
    run = ["run", str(jobs), "-o", str(tmp_path / "out"), "--yes", "--no-sheet"]
    async with emulated(credits=4 * 30_000) as (emulator, env):
        first = await foxapi(*run, env=env)
        posts, billed = emulator.counters.posts, emulator.counters.images_billed
        again = await foxapi(*run, env=env)
        assert (emulator.counters.posts, emulator.counters.images_billed) == (posts + 1, billed)
    assert (first.code, again.code) == (4, 4)
    assert "rejected: POST" not in first.err
    [told] = [line for line in again.err.splitlines() if "402" in line]
    assert "submitting has stopped: POST /v1/images/generations (phota-image): HTTP 402" in told
    assert "the server says that nothing is left of the balance" in again.err
