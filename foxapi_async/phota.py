"""The requests of the PHOTA models.

Field lists and defaults: the vendor's model pages, sections 3 and 9 of the API reference. The value
lists of ``resolution`` and ``aspect_ratio`` are from the text of those pages and may have grown;
`GenerationRequest` accepts any value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Final, Self, cast

import attrs

from foxapi_async import _validators
from foxapi_async._typeguards import as_int, as_number_or_none, is_array
from foxapi_async.models import safe_repr
from foxapi_async.requests import PATHS, Request

RESOLUTIONS: Final = ("1K", "4K")
ASPECT_RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9")

_PROFILE_REFERENCE: Final = r"\[\[([^\[\]]+)\]\]"


def profiles_in(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the profiles that the payload of a PHOTA model references, each once.

    First those in the prompt, in order of appearance, then those in ``profile_ids``.
    """
    prompt, ids = payload.get("prompt"), payload.get("profile_ids")
    found: list[str] = []
    if isinstance(prompt, str) and "[[" in prompt:
        found += (reference.strip() for reference in re.findall(_PROFILE_REFERENCE, prompt))
    if is_array(ids):
        found += (id_ for id_ in ids if isinstance(id_, str))
    return tuple(dict.fromkeys(id_ for id_ in found if id_))


@cache
def _names_of(cls: type[_PhotaRequest]) -> tuple[str, ...]:
    return tuple(attrs.fields_dict(cls))


@attrs.frozen
class _PhotaRequest(Request):
    """A request whose payload consists of its model and its attrs fields."""

    # Class attributes implement the properties of `Request`, which pyright does not accept.
    model: ClassVar[str]  # pyright: ignore[reportIncompatibleMethodOverride]
    kind: ClassVar[str] = "image"  # pyright: ignore[reportIncompatibleMethodOverride]
    path: ClassVar[str] = PATHS["image"]  # pyright: ignore[reportIncompatibleMethodOverride]

    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = {"model": self.model}
        for name in _names_of(type(self)):
            value: object = getattr(self, name)
            if isinstance(value, tuple):
                payload[name] = [*cast("tuple[object, ...]", value)]
            elif value is not None:
                payload[name] = value
        return payload

    def _with_outputs(self, num_outputs: int) -> Self:
        changes: dict[str, Any] = {"num_outputs": num_outputs}
        return attrs.evolve(self, **changes)


@attrs.frozen
class PhotaImage(_PhotaRequest):
    """Images from a text; ``[[profile_id]]`` in the prompt references a stored profile.

    Args:
        prompt: The text; not empty. The API documents no maximum length.
        num_outputs: Images to make, at least 1; each is billed.
        resolution: "1K" or "4K"; "4K" costs twice as much.
        aspect_ratio: Width to height: 1:1, 2:3, 3:2, 3:4, 4:3, 9:16 or 16:9.

    Raises:
        InvalidRequestError: A value that the API rejects.
    """

    model: ClassVar[str] = "phota-image"

    prompt: str = attrs.field(validator=_validators.text)
    num_outputs: int = attrs.field(  # pyright: ignore[reportIncompatibleMethodOverride]
        default=1, converter=as_int, validator=_validators.count, kw_only=True
    )
    resolution: str = attrs.field(
        default="1K", validator=_validators.one_of(RESOLUTIONS), kw_only=True
    )
    aspect_ratio: str = attrs.field(
        default="1:1", validator=_validators.one_of(ASPECT_RATIOS), kw_only=True
    )

    @property
    def profile_ids(self) -> tuple[str, ...]:
        """The profiles that the prompt references, without duplicates, in order of appearance."""
        return profiles_in(self.payload())


@attrs.frozen
class PhotaImageEdit(_PhotaRequest):
    """Images from a text and given images.

    Args:
        prompt: What to change; not empty.
        image_urls: Public URLs of the images to work on, at least one.
        num_outputs: Images to make, at least 1; each is billed.
        resolution: "1K" or "4K"; "4K" costs twice as much.
        profile_ids: Stored profiles that appear in the image, or None.

    Raises:
        InvalidRequestError: A value that the API rejects.
    """

    model: ClassVar[str] = "phota-image-edit"

    prompt: str = attrs.field(validator=_validators.text)
    image_urls: tuple[str, ...] = attrs.field(
        converter=_validators.as_tuple, validator=_validators.urls, repr=safe_repr, kw_only=True
    )
    num_outputs: int = attrs.field(  # pyright: ignore[reportIncompatibleMethodOverride]
        default=1, converter=as_int, validator=_validators.count, kw_only=True
    )
    resolution: str = attrs.field(
        default="1K", validator=_validators.one_of(RESOLUTIONS), kw_only=True
    )
    profile_ids: tuple[str, ...] | None = attrs.field(
        default=None,
        converter=_validators.as_tuple,
        validator=_validators.profile_ids,
        kw_only=True,
    )


@attrs.frozen
class PhotaImageEnhance(_PhotaRequest):
    """An enhanced version of an image.

    Args:
        image_url: Public URL of the image.
        resolution: "4K" or "1K".
        creativity: 0 to 1, or None for the API's default.
        resemblance: 0 to 1, or None for the API's default.
        profile_ids: Stored profiles that appear in the image, or None.

    Raises:
        InvalidRequestError: A value that the API rejects.
    """

    model: ClassVar[str] = "phota-image-enhance"
    num_outputs: ClassVar[int] = 1  # pyright: ignore[reportIncompatibleMethodOverride]

    image_url: str = attrs.field(validator=_validators.url, repr=safe_repr)
    resolution: str = attrs.field(
        default="4K", validator=_validators.one_of(RESOLUTIONS), kw_only=True
    )
    creativity: float | None = attrs.field(
        default=None,
        converter=as_number_or_none,
        validator=_validators.fraction,
        kw_only=True,
    )
    resemblance: float | None = attrs.field(
        default=None,
        converter=as_number_or_none,
        validator=_validators.fraction,
        kw_only=True,
    )
    profile_ids: tuple[str, ...] | None = attrs.field(
        default=None,
        converter=_validators.as_tuple,
        validator=_validators.profile_ids,
        kw_only=True,
    )


@attrs.frozen
class PhotaCreateProfile(_PhotaRequest):
    """A profile from an archive of photos; the id is in ``output.data["profile_id"]``.

    Args:
        image_archive_url: Public URL of a ZIP of photos.

    Raises:
        InvalidRequestError: It is not a URL.
    """

    model: ClassVar[str] = "phota-create-profile"
    num_outputs: ClassVar[int] = 1  # pyright: ignore[reportIncompatibleMethodOverride]

    image_archive_url: str = attrs.field(validator=_validators.url, repr=safe_repr)


CLASSES: Final[Mapping[str, type[Request]]] = {
    cls.model: cls for cls in (PhotaImage, PhotaImageEdit, PhotaImageEnhance, PhotaCreateProfile)
}
"""The class of each model."""
