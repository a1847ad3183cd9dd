"""Requests: frozen values that are validated when they are built, before anything is billed."""

from __future__ import annotations

import abc
import copy
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Self, cast

import attrs

from foxapi_async import _validators
from foxapi_async._typeguards import as_number, is_array, is_mapping, is_tuple
from foxapi_async._validators import check_count, check_texts, must_be, refuse
from foxapi_async.errors import InvalidRequestError
from foxapi_async.models import safe_repr

PATHS: Final[Mapping[str, str]] = {
    "image": "/v1/images/generations",
    "video": "/v1/videos/generations",
    "audio": "/v1/audios/generations",
    "document": "/v1/run/generations",
    "llm": "/v1/llm/generations",
}
"""The path of the billed POST for each kind."""

STAND_IN: Final = "https://upload.invalid/sha256/"
"""Prefix of the URLs that stand for local files until they are uploaded; no host is ever named so
(RFC 2606). What contains one is never sent."""

_PATHS_OF_MODELS: Final = {"suno-v4": "/v1/audio/generations"}

_PATH: Final = r"(/[A-Za-z0-9][A-Za-z0-9._~-]*)+"


class Request(abc.ABC):
    """The interface of all requests."""

    __slots__ = ()

    @property
    @abc.abstractmethod
    def model(self) -> str:
        """The model id."""

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """The kind of output: "image", "video", "audio", "document" or "llm"."""

    @property
    @abc.abstractmethod
    def path(self) -> str:
        """The path of the billed POST."""

    @property
    @abc.abstractmethod
    def num_outputs(self) -> int:
        """The number of requested outputs; each of them is billed."""

    @abc.abstractmethod
    def payload(self) -> dict[str, Any]:
        """Return the exact JSON object for the POST, without fields that are None."""

    def _json_fields(self) -> dict[str, Any]:
        """Return what ``to_dict()`` of events, outcomes and errors shows of the request."""
        return {
            "model": self.model,
            "kind": self.kind,
            "path": self.path,
            "num_outputs": self.num_outputs,
            "payload": self.payload(),
        }

    @abc.abstractmethod
    def _with_outputs(self, num_outputs: int) -> Self:
        """Return the same request for another number of outputs."""

    def split(self, outputs_per_task: int = 1) -> list[Self]:
        """Return equivalent requests of at most ``outputs_per_task`` outputs each.

        Args:
            outputs_per_task: At least 1; the last request has the remaining outputs.

        Raises:
            InvalidRequestError: ``outputs_per_task`` is not a whole number of at least 1.
        """
        outputs_per_task = check_count("outputs_per_task", outputs_per_task)
        whole, rest = divmod(self.num_outputs, outputs_per_task)
        if whole + (rest > 0) == 1:
            return [self]
        sizes = [outputs_per_task] * whole + [rest] * (rest > 0)
        return [self._with_outputs(size) for size in sizes]


class PreparedRequest(Request):
    """A request whose payload identifies it, and which is sent with another one, made just in time."""

    __slots__ = ()

    @abc.abstractmethod
    async def prepare(self) -> dict[str, Any]:
        """Return the JSON object for the POST, right before it is sent.

        Whatever it raises must mean that nothing was sent: see `outcome.status_of`.
        """


def _params(
    _: object, attribute: attrs.Attribute[Any], value: object, what: str = "params"
) -> None:
    def wrong(why: str) -> InvalidRequestError:
        return InvalidRequestError(f"{what} {why}", field=attribute.name, value=value)

    if not is_mapping(value) or not all(isinstance(name, str) for name in value):
        raise wrong(f"is {value!r}; it must be a mapping of field names to values")
    if "model" in value:
        raise wrong(f"contains 'model': {value['model']!r}; pass it as GenerationRequest(model, …)")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise wrong(f"cannot be sent as JSON: {error}") from error
    check_texts(attribute.name, value)
    if value.get("num_outputs") is not None:
        check_count(f"{what}['num_outputs']", value["num_outputs"])


def _as_dict(value: Any, what: str = "params") -> Any:
    # A copy, so that later changes of the caller's mapping do not change the billed request.
    if not is_mapping(value):
        return value
    try:
        return {name: _plain(item) for name, item in value.items()}
    except Exception as error:
        raise InvalidRequestError(
            f"{what} cannot be sent as JSON: {error}", field=what, value=value
        ) from error


def _extra_as_dict(value: Any) -> Any:
    return _as_dict(value, "extra")


def _plain(value: Any) -> Any:
    """Return a copy in types that JSON knows, as far as possible."""
    if value is None or isinstance(value, str | int | float):
        return value
    if is_mapping(value):
        return {name: _plain(item) for name, item in value.items()}
    if is_array(value):
        return [_plain(item) for item in value]
    if is_tuple(value):
        return tuple(_plain(item) for item in value)
    number = as_number(value)
    return copy.deepcopy(value) if number is value else number


def _default_path(request: Any) -> str:
    model, kind = request.model, request.kind
    if not isinstance(model, str) or not isinstance(kind, str):
        return ""  # the validators of model and kind say what is wrong
    return _PATHS_OF_MODELS.get(model) or PATHS.get(kind, "")


def _kind(request: GenerationRequest, _: object, value: object) -> None:
    if not isinstance(value, str) or not value or (value not in PATHS and not request.path):
        known = ", ".join(map(repr, PATHS))
        raise refuse("kind", value, f"one of {known}, or the path must be given too")
    check_texts("kind", value)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(_PATH, value) is not None


@attrs.frozen
class GenerationRequest(Request):
    """A request for any model with any parameters.

    Args:
        model: The model id; it is not validated.
        params: The other fields of the JSON object; a copy is kept. Fields that are None are
            omitted, because the vendor forbids null.
        kind: The kind of output: "image", "video", "audio", "document" or "llm".
        path: The path of the POST; by default derived from the kind and the model.

    Raises:
        InvalidRequestError: An unknown kind without a path, parameters that are not JSON, or a
            ``num_outputs`` that is not a whole number of at least 1.
    """

    # Frozen fields implement the properties of `Request`, which pyright does not accept.
    model: str = attrs.field(  # pyright: ignore[reportIncompatibleMethodOverride]
        validator=_validators.model
    )
    params: Mapping[str, Any] = attrs.field(
        factory=dict[str, Any],
        converter=_as_dict,
        validator=_params,
        hash=False,
        repr=safe_repr,
    )
    kind: str = attrs.field(  # pyright: ignore[reportIncompatibleMethodOverride]
        default="image", validator=_kind
    )
    # Not @path.default: pyright would treat the parameter as required.
    path: str = attrs.field(  # pyright: ignore[reportIncompatibleMethodOverride]
        default=attrs.Factory(_default_path, takes_self=True),
        validator=must_be("a plain path such as '/v1/images/generations'", _is_path),
    )

    @property
    def num_outputs(self) -> int:
        """The number of requested outputs: ``params["num_outputs"]``, or 1."""
        return int(self.params.get("num_outputs") or 1)

    def payload(self) -> dict[str, Any]:
        """Return the exact JSON object for the POST: the model and the parameters that are not None."""
        given = {name: value for name, value in self.params.items() if value is not None}
        return {"model": self.model, **copy.deepcopy(given)}

    def _with_outputs(self, num_outputs: int) -> Self:
        return attrs.evolve(self, params={**self.params, "num_outputs": num_outputs})


def _no_clash(instance: ExtendedRequest, attribute: attrs.Attribute[Any], value: object) -> None:
    _params(instance, attribute, value, "extra")
    known = {*instance.request.payload(), "num_outputs"}
    for name in cast("Mapping[str, object]", value):
        if name in known:
            why = (
                "the number of outputs is billed and bounded, so it belongs into the request"
                if name == "num_outputs"
                else "the request sets this field itself"
            )
            raise InvalidRequestError(
                f"extra contains {name!r}: {why}; nothing was sent. Build a GenerationRequest to decide "
                "about all fields",
                field="extra",
                value=value,
            )


@attrs.frozen
class ExtendedRequest(PreparedRequest):
    """A request with further fields, which it does not set itself; see `Session.submit`.

    Args:
        request: The request, whose fields come first.
        extra: Further fields of the JSON object; a copy is kept. Those that are None are omitted.

    Raises:
        InvalidRequestError: ``extra`` is not a mapping of names to JSON, or contains a field of the request.
    """

    request: Request
    extra: Mapping[str, Any] = attrs.field(
        converter=_extra_as_dict, validator=_no_clash, hash=False, repr=safe_repr
    )

    @property
    def model(self) -> str:
        """The model id."""
        return self.request.model

    @property
    def kind(self) -> str:
        """The kind of output."""
        return self.request.kind

    @property
    def path(self) -> str:
        """The path of the billed POST."""
        return self.request.path

    @property
    def num_outputs(self) -> int:
        """The number of requested outputs; each of them is billed."""
        return self.request.num_outputs

    def payload(self) -> dict[str, Any]:
        """Return the JSON object of the request with the further fields."""
        return self._extended(self.request.payload())

    async def prepare(self) -> dict[str, Any]:
        """Return the JSON object for the POST, right before it is sent."""
        request = self.request
        if isinstance(request, PreparedRequest):
            return self._extended(await request.prepare())
        return self._extended(request.payload())

    def _extended(self, payload: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in self.extra.items() if value is not None}
        return {**copy.deepcopy(given), **payload}

    def _with_outputs(self, num_outputs: int) -> Self:
        [request] = self.request.split(num_outputs)[:1]
        return attrs.evolve(self, request=request)
