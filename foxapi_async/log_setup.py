"""The environment variable FOXAPI_LOG: shows what the package logs, without code in the application."""

from __future__ import annotations

import logging
from typing import Final

from foxapi_async.errors import ConfigurationError

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_applied: Final[set[str]] = set()


def set_up_logging(value: str | None) -> None:
    """Set the level of the logger ``foxapi_async``, once per process and value.

    Records go to the handlers of the application, or to stderr if it has none. Nothing happens for None
    or "".

    Raises:
        ConfigurationError: It is not the name of a level.
    """
    name = (value or "").strip().lower()
    if not name or name in _applied:
        return
    if name not in _LEVELS:
        raise ConfigurationError(
            f"the environment variable FOXAPI_LOG is {value!r}; it must be one of {', '.join(_LEVELS)}"
        )
    _applied.add(name)
    logger = logging.getLogger("foxapi_async")
    logger.setLevel(_LEVELS[name])
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
