"""The connection to Temporal, and patience while it is away."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import anyio
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode

from foxapi_async.errors import ConfigurationError, FoxAPIError

_log = logging.getLogger("foxapi_async")

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
"""Seconds between two attempts to reach Temporal."""

_CHECK: Final = timedelta(seconds=5)

_AWAY: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
        RPCStatusCode.CANCELLED,
    }
)
"""The service may answer the same request later."""


async def connect(
    address: str, *, namespace: str | None = None, runtime: Runtime | None = None
) -> Client:
    """Return a connection to Temporal at ``host:port``; wait until it can be reached.

    TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS and the other variables of Temporal's own tools
    are honoured. ``runtime`` is one of temporalio; None for its default.

    Raises:
        ConfigurationError: The address or a variable cannot be used.
    """
    try:
        options = ClientConfig.load_client_connect_config()
    except (ValueError, RuntimeError, OSError) as error:
        raise ConfigurationError(
            f"the configuration of Temporal cannot be used: {error}"
        ) from error
    options["target_host"] = address
    if namespace is not None:
        options["namespace"] = namespace
    pause = _FIRST_PAUSE
    while True:
        try:
            return await Client.connect(**options, runtime=runtime)
        except ValueError as error:
            raise ConfigurationError(f"{address!r} is no address of Temporal: {error}") from error
        except RuntimeError as error:
            _log.warning("Temporal at %s is not reached, trying again: %s", address, error)
        await anyio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def quiet_runtime() -> Runtime:
    """Return a runtime of temporalio that prints nothing: its log would go to standard output."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


async def watch_service(client: Client, on_change: Callable[[RPCError | None], object]) -> None:
    """Tell when Temporal goes away (with the error) and when it is back (None), until cancelled."""
    is_away = False
    while True:
        await anyio.sleep(_LONGEST_PAUSE)
        error: RPCError | None = None
        try:
            await client.service_client.check_health(timeout=_CHECK)
        except RPCError as caught:
            error = caught
        if (error is not None) is not is_away:
            is_away = error is not None
            on_change(error)


async def reached(call: Callable[[], Awaitable[T]]) -> T:
    """Return what Temporal answers; wait while it is away.

    Raises:
        FoxAPIError: It refuses.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            return await call()
        except RPCError as error:
            if error.status not in _AWAY:
                raise FoxAPIError(f"Temporal refuses: {error}") from error
            _log.warning("Temporal is not reached, trying again: %s", error)
        await anyio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
