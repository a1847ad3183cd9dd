"""A folder of photos as the ZIP file that a profile is made from. Blocking."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Final

import attrs

from foxapi_async import ConfigurationError, InvalidRequestError
from foxapi_async.bulk.input.local_files import LARGEST, LocalFile, read_file

_FORMATS: Final = frozenset({"jpg", "png", "webp"})
"""The service documents no formats; these are what every decoder of photos reads."""

_NO_PHOTOS: Final = frozenset({"thumbs.db", "desktop.ini"})
"""Files that systems put into folders of photos, beside hidden ones."""

_OVERHEAD: Final = 512  # Bytes of a ZIP file for each file in it, and more

_SHOWN: Final = 20  # Problems in the text of an error


@attrs.frozen
class Photos:
    """The photos of a folder, each content once, in an order that only the contents decide."""

    folder: Path
    files: tuple[LocalFile, ...]
    duplicates: int

    @property
    def key(self) -> str:
        """A key for the profile of these photos, whatever their names are."""
        contents = "\n".join(file.sha256 for file in self.files)
        return f"profile-{hashlib.blake2b(contents.encode(), digest_size=8).hexdigest()}"

    @property
    def size(self) -> int:
        """The bytes of all photos together."""
        return sum(file.size for file in self.files)

    @classmethod
    def find(cls, folder: Path) -> Photos:
        """Return the photos of a folder, without its subfolders and hidden files.

        Raises:
            InvalidRequestError: A file is not a photo, or there is none; all problems are listed.
        """
        try:
            names = sorted(path for path in folder.iterdir() if _is_candidate(path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InvalidRequestError(
                f"{folder} cannot be read: {reason}", field="folder"
            ) from error
        found: dict[str, LocalFile] = {}
        problems: list[str] = []
        for path in names:
            try:
                file = read_file(path)
                if file.format not in _FORMATS:
                    what = f"a {file.format} file" if file.format else "of no known format"
                    raise ValueError(f"it is {what}; JPEG, PNG and WebP are taken")  # noqa: TRY301
            except (OSError, ValueError) as error:
                problems.append(f"{path.name}: {getattr(error, 'strerror', None) or error}")
            else:
                found.setdefault(file.sha256, file)
        photos = cls(folder, tuple(found[each] for each in sorted(found)), len(names) - len(found))
        if not names:
            problems.append("there is no photo in it")
        elif photos.size + _OVERHEAD * len(found) > LARGEST:
            problems.append(f"the photos have {photos.size:,} bytes; at most {LARGEST:,} are taken")
        if problems:
            shown = problems[:_SHOWN]
            if more := len(problems) - len(shown):
                shown.append(f"… and {more:,} more")
            text = "\n".join(f"  {problem}" for problem in shown)
            raise InvalidRequestError(
                f"{folder}: no profile can be made of it; nothing was sent\n{text}", field="folder"
            )
        return photos

    def write(self, target: Path) -> None:
        """Write the ZIP file: stored, without the names, with equal bytes for equal photos.

        Raises:
            InvalidRequestError: A photo was changed meanwhile.
            ConfigurationError: The file cannot be written.
        """
        try:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
                for number, file in enumerate(self.files, 1):
                    _add(archive, f"{number:04}.{file.format}", file)
        except OSError as error:
            raise ConfigurationError(
                f"the photos cannot be put into a ZIP file: {error.filename or target}: "
                f"{error.strerror or error}; TMPDIR is where it is written"
            ) from error


def _add(archive: zipfile.ZipFile, name: str, file: LocalFile) -> None:
    info = zipfile.ZipInfo(name)  # dated 1980
    info.create_system, info.external_attr, info.file_size = 3, 0o644 << 16, file.size
    with file.path.open("rb") as photo, archive.open(info, "w") as member:
        shutil.copyfileobj(photo, member, 1024 * 1024)
    if read_file(file.path).sha256 != file.sha256:
        raise InvalidRequestError(f"{file.path} was changed meanwhile; nothing was sent")


def _is_candidate(path: Path) -> bool:
    name = path.name.lower()
    return not name.startswith(".") and name not in _NO_PHOTOS and not path.is_dir()
