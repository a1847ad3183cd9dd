"""What this user keeps of created profiles: a list for people, and the journal that pays for each once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs

from foxapi_async import ConfigurationError
from foxapi_async._typeguards import is_object

JOURNAL_NAME: Final = "profiles.sqlite"
_LIST_NAME: Final = "profiles.jsonl"


@attrs.frozen(kw_only=True)
class CreatedProfile:
    """A profile that was created here; ``created`` is an ISO time in UTC."""

    profile_id: str
    key: str
    task_id: str
    photos: int
    folder: str
    journal: str
    created: str


def state_directory(environment: Mapping[str, str]) -> Path:
    """Return where the state of this user is kept: XDG_STATE_HOME, ~/.local/state by default."""
    home = environment.get("XDG_STATE_HOME")
    return (Path(home) if home else Path("~/.local/state").expanduser()) / "foxapi"


def prepare_state(environment: Mapping[str, str]) -> Path:
    """Create the state directory, for this user only, and return it."""
    path = state_directory(environment)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"nothing can be kept in {path}: {getattr(error, 'strerror', None) or error}; without a "
            "record a profile might be paid for twice. Set XDG_STATE_HOME to a folder that is writable"
        ) from error
    return path


def created_profiles(environment: Mapping[str, str]) -> list[CreatedProfile]:
    """Return the profiles in the list, oldest first; lines that cannot be read are skipped."""
    try:
        text = (state_directory(environment) / _LIST_NAME).read_text("utf-8", "replace")
    except (OSError, ValueError):
        return []
    return [found for line in text.splitlines() if (found := _profile(line)) is not None]


def record_profile(directory: Path, profile: CreatedProfile) -> None:
    """Append a profile to the list, unless it is there.

    Raises:
        ConfigurationError: The list cannot be written.
    """
    path = directory / _LIST_NAME
    try:
        with path.open("a+", encoding="utf-8") as file:
            file.seek(0)
            text = file.read()
            if any(_profile(line) == profile for line in text.splitlines()):
                return
            # After a crash in the middle of a line.
            begin = "\n" if text and not text.endswith("\n") else ""
            file.write(begin + json.dumps(attrs.asdict(profile)) + "\n")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the profile {profile.profile_id} was created, but {path} cannot be written: "
            f"{getattr(error, 'strerror', None) or error}"
        ) from error


def now() -> str:
    """Return the time as the list has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _profile(line: str) -> CreatedProfile | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    names = attrs.fields_dict(CreatedProfile)
    if not is_object(fields) or not isinstance(fields.get("profile_id"), str):
        return None
    try:
        return CreatedProfile(**{name: fields[name] for name in names})
    except KeyError:
        return None
