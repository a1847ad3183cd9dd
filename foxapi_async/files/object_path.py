"""The path of an object in a store: a `pathlib.Path` whose text is the URL of the object. Pure."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from foxapi_async.errors import ConfigurationError

SCHEMES: Final = ("s3", "gs", "az")

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)(.*)", re.DOTALL)
_BUCKET: Final = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{0,254}")
_NOT_IN_A_KEY: Final = re.compile(r"[\0-\x1f\x7f?\\]")
_ALIASES: Final = {
    "gcs": "gs",
    "s3a": "s3",
    "s3n": "s3",
    "azure": "az",
    "abfs": "az",
    "abfss": "az",
}

if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())  # Path itself can be a base class only since Python 3.12


class ObjectPath(_Path):
    """The path of an object, or of a folder of objects, in an object store.

    ``str()`` of it is its URL: ``s3://bucket/folder/fox.png``. It is a `pathlib.Path`, so that code for
    files can handle the result of a download to a store: ``name``, ``suffix``, ``parent`` and ``/`` work
    as usual. What needs a local file raises TypeError: ``open()``, ``exists()``, ``os.fspath()``.
    """

    @property
    def scheme(self) -> str:
        """The kind of store: "s3", "gs" or "az"."""
        return self.parts[0][:-1]

    @property
    def bucket(self) -> str:
        """The bucket (Azure: the container)."""
        return self.parts[1]

    @property
    def key(self) -> str:
        """The name of the object in its bucket, with slashes; "" for the bucket itself."""
        return "/".join(self.parts[2:])

    def __str__(self) -> str:
        first, *rest = self.parts or (".",)
        # What is relative to another path has no scheme any more.
        mark = "//" if first[:-1] in SCHEMES else "/" if rest else ""
        return f"{first}{mark}{'/'.join(rest)}"

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is an object in a store, not a file on disk")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts


def destination(directory: str | os.PathLike[str]) -> Path:
    """Return where files are to be saved: a folder, or an `ObjectPath` if the text is the URL of one.

    Raises:
        ConfigurationError: It is a URL, but not one of a bucket or of a folder in one.
    """
    if isinstance(directory, ObjectPath):
        return directory
    text = os.fspath(directory)
    match = _URL.fullmatch(text)
    if match is None:
        return Path(text)
    scheme, slashes, rest = match[1].lower(), match[2], match[3]
    # A Path has lost one of the two slashes. No file is saved in a folder called "s3:".
    if scheme not in SCHEMES and len(slashes) == 1:
        return Path(text)
    if scheme not in SCHEMES:
        hint = (
            f"write {_ALIASES[scheme]}://…"
            if scheme in _ALIASES
            else "use one of these, or a folder"
        )
        raise ConfigurationError(
            f"files cannot be saved under a URL that begins with {scheme}://, only under s3://, gs:// "
            f"and az://; {hint}"
        )
    bucket, *folders = rest.split("/")
    if len(slashes) > 2 or not _BUCKET.fullmatch(bucket):  # noqa: PLR2004 - as in s3://
        # The text is not repeated: somebody may have put credentials in front of the bucket.
        raise ConfigurationError(
            f"the {scheme}:// URL to save files under does not name a bucket; it must look like "
            f"{scheme}://bucket/folder, and credentials come from the environment"
        )
    if ".." in folders or any(_NOT_IN_A_KEY.search(folder) for folder in folders):
        raise ConfigurationError(
            f"the folder in {scheme}://{bucket}/… has a part that cannot be in the name of an object: "
            "'..', '?', a backslash or a control character"
        )
    return ObjectPath(f"{scheme}:", bucket, *folders)
