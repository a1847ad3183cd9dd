"""From the options of `foxapi generate` to a request: checked before anything is sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Final

import attrs

from foxapi_async.errors import InvalidRequestError
from foxapi_async.phota import PhotaImage
from foxapi_async.requests import GenerationRequest, Request

__all__ = ["Asked", "parameters", "prompt_from"]

_LOOKS_LIKE_JSON: Final = ("{", "[", '"')


@attrs.frozen
class Asked:
    """What was asked for on the command line; None is what was not said."""

    prompt: str | None
    outputs: int | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    model: str | None = None
    kind: str | None = None
    params: Sequence[str] = ()

    def request(self) -> Request:
        """Return the request; only what was said is sent.

        Raises:
            InvalidRequestError: It cannot be right.
        """
        said: dict[str, object] = {
            "prompt": self.prompt,
            "num_outputs": self.outputs,
            "resolution": self.resolution,
            "aspect_ratio": self.aspect_ratio,
        }
        said = {name: value for name, value in said.items() if value is not None}
        params = parameters(self.params)
        if self.model is None and self.kind is None and not params:
            return self._phota()
        return GenerationRequest(
            self.model or PhotaImage.MODEL, {**said, **params}, kind=self.kind or "image"
        )

    def _phota(self) -> PhotaImage:
        if self.prompt is None:
            raise InvalidRequestError("a prompt is needed: foxapi generate PROMPT", field="prompt")
        plain = PhotaImage(self.prompt)
        try:
            return attrs.evolve(
                plain,
                num_outputs=plain.num_outputs if self.outputs is None else self.outputs,
                resolution=self.resolution or plain.resolution,
                aspect_ratio=self.aspect_ratio or plain.aspect_ratio,
            )
        except InvalidRequestError as error:
            if error.field not in {"resolution", "aspect_ratio"}:
                raise
            known = str(error).partition(". If the service")[0]
            raise InvalidRequestError(
                f"{known}. If the service takes more by now, "
                f"--param {error.field}={error.value} sends it as it is",
                field=error.field,
                value=error.value,
            ) from error


def parameters(given: Sequence[str]) -> dict[str, object]:
    """Return parameters of the form NAME=VALUE; the value is JSON, or else plain text.

    Raises:
        InvalidRequestError: No name, a name given twice, or broken JSON.
    """
    params: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise InvalidRequestError(
                f"--param is {text!r}; it must be NAME=VALUE", field="param", value=text
            )
        if name in params:
            raise InvalidRequestError(f"--param {name} is given twice", field=name, value=value)
        params[name] = _value(name, value)
    return params


def prompt_from(argument: str | None) -> str | None:
    """Return the prompt; ``-`` reads all of standard input."""
    if argument != "-":
        return argument
    return "" if sys.stdin is None else sys.stdin.read().rstrip("\r\n")


def _value(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(_LOOKS_LIKE_JSON):
            raise InvalidRequestError(
                f"--param {name}: the value looks like JSON and is none: {error}",
                field=name,
                value=text,
            ) from error
        return text
