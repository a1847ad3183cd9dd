"""Applies the effects of a fault before and after the effect of a request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import anyio

from foxapi_async.emulator.answers import JSON, JSON_TYPE, TEXT_TYPE, Reply, json_reply
from foxapi_async.emulator.faults import (
    Answer,
    Call,
    Delay,
    Deliver,
    Drop,
    Effect,
    Hang,
    Redirect,
    Rewrite,
)
from foxapi_async.emulator.task_lifecycle import ORDINARY_FATE, Fate

Outcome: TypeAlias = Reply | Drop | Hang
"""What the client gets: a reply, a broken connection, or silence."""


def fate_of(effects: Sequence[Effect]) -> Fate:
    """Return the fate of a new task."""
    return next((each for each in effects if isinstance(each, Fate)), ORDINARY_FATE)


def manner_of(effects: Sequence[Effect]) -> Deliver | None:
    """Return the transport fault of the answer, or None."""
    return next((each for each in effects if isinstance(each, Deliver)), None)


async def before(effects: Sequence[Effect], call: Call) -> Outcome | None:
    """Apply the effects before the request; an outcome replaces the effect of the request."""
    outcome: Outcome | None = None
    for effect in effects:
        if isinstance(effect, (Fate, Deliver, Rewrite)) or effect.carried_out:
            continue
        if isinstance(effect, Delay):
            await anyio.sleep(effect.seconds)
        else:
            outcome = _outcome(effect, call)
    return outcome


async def after(effects: Sequence[Effect], call: Call, reply: Reply) -> Outcome:
    """Apply the effects after the request has taken effect; `reply` is the true answer."""
    outcome: Outcome = reply
    for effect in effects:
        if isinstance(effect, Rewrite):
            outcome = _rewritten(effect, outcome)
        elif isinstance(effect, (Fate, Deliver)) or not effect.carried_out:
            continue
        elif isinstance(effect, Delay):
            await anyio.sleep(effect.seconds)
        else:
            outcome = _outcome(effect, call)
    return outcome


def _outcome(effect: Answer | Redirect | Drop | Hang, call: Call) -> Outcome:
    if isinstance(effect, Redirect):
        location = effect.location if isinstance(effect.location, str) else effect.location(call)
        return Reply(effect.status, b"", {"Location": location})
    return _reply(effect) if isinstance(effect, Answer) else effect


def _reply(answer: Answer) -> Reply:
    if isinstance(answer.body, bytes):
        kind, body = "application/octet-stream", answer.body
    elif isinstance(answer.body, str):
        kind, body = TEXT_TYPE, answer.body.encode()
    else:
        kind, body = JSON_TYPE, json.dumps(answer.body).encode()
    content_type = {"Content-Type": answer.content_type or kind}
    return Reply(answer.status, body, {**content_type, **answer.headers})


def _rewritten(effect: Rewrite, outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Reply):
        return outcome
    truth = cast("dict[str, JSON]", json.loads(outcome.body))
    changed = effect.change(truth) if callable(effect.change) else {**truth, **effect.change}
    if isinstance(changed, Mapping):
        changed = {name: value for name, value in changed.items() if name not in effect.without}
    return json_reply(changed, status=effect.status or outcome.status)
