"""The way of a request: CDN checks, key, script, limits, service."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import unquote

import anyio
from aiohttp import web
from attrs import define, field, frozen

from foxapi_async.emulator import inputs
from foxapi_async.emulator.answers import (
    HTML_TYPE,
    JSON,
    Reply,
    error_reply,
    html_page,
    text_reply,
)
from foxapi_async.emulator.delivery import badly, break_off, in_good_order
from foxapi_async.emulator.faults import (
    Call,
    Drop,
    Effect,
    Hang,
    Route,
    Script,
)
from foxapi_async.emulator.limits import TokenBucket
from foxapi_async.emulator.playback import after, before, fate_of, manner_of
from foxapi_async.emulator.schema import PATHS
from foxapi_async.emulator.service import RESULTS, Service
from foxapi_async.emulator.store import TaskView
from foxapi_async.emulator.task_lifecycle import ORDINARY_FATE, Fate
from foxapi_async.emulator.uploads import store

_TASKS = "/v1/tasks/"
_UPLOADS = "/v1/files/upload/"
_WAYS = frozenset({"stream", "base64", "url"})
_PRICING = "/api/pricing"
_LISTS: Mapping[str, Route] = {
    "/v1/models": "models",
    "/v1/account/credits": "credits",
    _PRICING: "pricing",
}
_BOOLEANS = {"": False, "false": False, "0": False, "true": True, "1": True}
_CALLS_KEPT = 1_000


@frozen(kw_only=True)
class Admission:
    """Which requests are accepted, how many, and with which latency."""

    keys: frozenset[str]
    requests: TokenBucket | None
    submissions: TokenBucket | None
    polls: TokenBucket | None
    latency: Callable[[], float] | None
    body_limit: int
    file_limit: int


def route_of(method: str, path: str) -> Route | None:
    """Tell which route a request takes; None is a path or method that there is not."""
    if method == "GET" and path.startswith(_TASKS):
        return "poll"
    if method == "POST" and path in PATHS:
        return "submit"
    if method in {"GET", "HEAD"} and path.startswith(RESULTS):
        return "download"
    if method == "POST" and path.removeprefix(_UPLOADS) in _WAYS:
        return "upload"
    return _LISTS.get(path) if method == "GET" else None


@define(eq=False)
class Exchange:
    """Handles every request of the server."""

    service: Service
    admission: Admission
    script: Script
    stopped: anyio.Event
    calls: deque[Call] = field(factory=lambda: deque[Call](maxlen=_CALLS_KEPT))

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.rel_url.raw_path
        route = route_of(request.method, path)
        self._count(request, route)
        try:
            self._pass_edge(request, path)
            route = _known(route, path)
            call = await self._call(request, route)
        except inputs.RefusedError as refused:
            return self._send(refused.reply)
        self.calls.append(call)
        effects = self.script.pick(call) if self.script.concerns(route) else ()
        travel = self.admission.latency() / 2 if self.admission.latency is not None else 0.0
        if travel:
            await anyio.sleep(travel)
        if effects:
            return await self._play(request, call, effects)
        reply = await self._carry_out(request, call, ORDINARY_FATE)
        if travel:
            await anyio.sleep(travel)
        return self._send(reply)

    def _count(self, request: web.BaseRequest, route: Route | None) -> None:
        counted = self.service.ledger.counted
        counted.requests += 1
        if route == "poll":
            counted.polls += 1
        elif route == "submit":
            counted.posts += 1
        elif route == "download":
            counted.downloads += 1
            counted.keys_leaked += bool(request.headers.get("Authorization"))

    def _pass_edge(self, request: web.BaseRequest, path: str) -> None:
        agent = request.headers.get("User-Agent", "")
        if agent.lower().startswith("python-urllib"):
            raise inputs.RefusedError(text_reply(403, "error code: 1010"))
        if (request.content_length or 0) > self.admission.body_limit:
            raise inputs.RefusedError(inputs.too_large())
        if path.startswith(RESULTS) or path == _PRICING:  # needs no key
            return
        if not path.startswith("/v1/"):
            raise inputs.RefusedError(text_reply(200, html_page("Welcome"), HTML_TYPE))
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key not in self.admission.keys:
            self.service.ledger.counted.wrong_keys += 1
            raise inputs.RefusedError(error_reply(401, "the key is missing, wrong or expired"))

    async def _call(self, request: web.BaseRequest, route: Route) -> Call:
        payload: Mapping[str, JSON] = {}
        if route == "submit":
            body = await inputs.json_object(request, self.admission.body_limit)
            payload = cast("Mapping[str, JSON]", body)
        record = None
        if route == "poll":
            record = self.service.ledger.tasks.get(_task_id(request))
        elif route == "download":
            task_id = request.rel_url.raw_path.removeprefix(RESULTS).partition("/")[0]
            record = self.service.ledger.tasks.get(task_id)
        return Call(
            route=route,
            method=request.method,
            target=request.rel_url.raw_path_qs,
            query=request.query,
            headers=request.headers,
            payload=payload,
            task=None if record is None else TaskView(record, self.service.clock),
        )

    async def _play(
        self, request: web.BaseRequest, call: Call, effects: tuple[Effect, ...]
    ) -> web.StreamResponse:
        manner = manner_of(effects)
        outcome = await before(effects, call)
        if outcome is None:
            whole = manner is not None and manner.ignore_range
            outcome = await self._carry_out(request, call, fate_of(effects), whole=whole)
        if isinstance(outcome, Reply):
            outcome = await after(effects, call, outcome)
        if isinstance(outcome, (Drop, Hang)):
            return await self._leave(request, outcome)
        if manner is None:
            return self._send(outcome)
        self.service.ledger.counted.answered[outcome.status] += 1
        return await badly(request, outcome, manner, self.stopped)

    async def _leave(self, request: web.BaseRequest, effect: Drop | Hang) -> web.StreamResponse:
        self.service.ledger.counted.unanswered += 1
        if isinstance(effect, Hang):
            await self.stopped.wait()
        return break_off(request, reset=isinstance(effect, Hang) or effect.reset)

    async def _carry_out(
        self, request: web.BaseRequest, call: Call, fate: Fate, *, whole: bool = False
    ) -> Reply:
        service, address = self.service, request.rel_url
        if (wait := self._wait(call.route)) > 0:
            return service.too_many("too many requests", wait)
        match call.route:
            case "submit":
                reply = service.submit(address.raw_path, call.payload, fate)
            case "poll":
                reply = self._look(request, call)
            case "download":
                headers: Mapping[str, str] = {} if whole else call.headers
                reply = await service.file(address.raw_path, address.raw_query_string, headers)
            case "upload":
                reply = await self._upload(request)
            case "models":
                reply = service.models()
            case "credits":
                reply = service.account()
            case "pricing":
                reply = service.pricing()
        return reply

    def _look(self, request: web.BaseRequest, call: Call) -> Reply:
        synced = _BOOLEANS.get(call.query.get("sync_upstream", "").lower())
        if synced is None:
            return error_reply(422, "sync_upstream must be true or false")
        return self.service.poll(_task_id(request), synced=synced)

    async def _upload(self, request: web.BaseRequest) -> Reply:
        way = request.rel_url.raw_path.removeprefix(_UPLOADS)
        admission = self.admission
        try:
            return await store(
                request,
                way,
                self.service,
                file_limit=admission.file_limit,
                body_limit=admission.body_limit,
            )
        except inputs.RefusedError as refused:
            return refused.reply

    def _wait(self, route: Route) -> float:
        if route == "download":
            return 0.0
        admission, now = self.admission, self.service.clock()
        own = {"submit": admission.submissions, "poll": admission.polls}.get(route)
        for bucket in (admission.requests, own):
            if bucket is not None and (wait := bucket.wait(now)) > 0:
                return wait
        return 0.0

    def _send(self, reply: Reply) -> web.Response:
        self.service.ledger.counted.answered[reply.status] += 1
        return in_good_order(reply)


def _known(route: Route | None, path: str) -> Route:
    if route is None:
        raise inputs.RefusedError(error_reply(404, f"no such path: {path}"))
    return route


def _task_id(request: web.BaseRequest) -> str:
    return unquote(request.rel_url.raw_path.removeprefix(_TASKS))
