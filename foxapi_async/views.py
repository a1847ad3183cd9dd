"""What the calls of `Session.with_options` use in place of what the session has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from foxapi_async.api import Api
from foxapi_async.errors import ConfigurationError
from foxapi_async.files.service import FileService
from foxapi_async.http.raw import OnResponse
from foxapi_async.options import Polling, Retry, Timeout


def _must_be(cls: type) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, cls):
            raise ConfigurationError(
                f"with_options({attribute.name}=…) is {value!r}; it must be a {cls.__name__}"
            )

    return check


def _is_listener(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (not callable(value) or inspect.iscoroutinefunction(value)):
        raise ConfigurationError(
            f"with_options({attribute.name}=…) is {value!r}; it must be a plain function of one argument"
        )


@attrs.frozen
class ViewOptions:
    """The options of a view."""

    timeout: Timeout = attrs.field(validator=_must_be(Timeout))
    retry: Retry = attrs.field(validator=_must_be(Retry))
    polling: Polling = attrs.field(validator=_must_be(Polling))
    on_response: OnResponse | None = attrs.field(default=None, validator=_is_listener)


@attrs.frozen(eq=False)
class View:
    """The parts of an open session for calls with other options; everything else is shared."""

    options: ViewOptions
    api: Api
    files: FileService

    @property
    def retry(self) -> Retry:
        """How its calls are repeated."""
        return self.options.retry

    @property
    def polling(self) -> Polling:
        """How the tasks are polled that it has submitted or attached."""
        return self.options.polling
