"""From a row of a job file to a request and its key, with everything that is wrong."""

from __future__ import annotations

import hashlib
import json
import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, cast

import attrs

from foxapi_async import GenerationRequest, InvalidRequestError, PhotaImage, Request
from foxapi_async._typeguards import is_mapping
from foxapi_async.bulk.job_file import Row
from foxapi_async.bulk.local_files import LocalFileError, LocalFiles
from foxapi_async.bulk.temporary_index import Duplicates
from foxapi_async.errors import Problem
from foxapi_async.phota import CLASSES

_GENERAL: Final = ("params", "kind", "path")
"""Fields that make a row a `GenerationRequest`, whatever its model."""

_TEXTS: Final = frozenset({"key", "model", "kind", "path", "prompt"})
_LOOKS_LIKE_JSON: Final = ("{", "[", '"')
_NON_WORDS: Final = re.compile(r"[\W_]+")
_LONGEST_SLUG: Final = 40
"""Characters of the prompt in a key: enough to tell pictures apart in a directory."""

_DIGEST: Final = 16  # Bytes: among a million contents, two are equal with a chance of one in 10^26


@attrs.frozen
class JobLine:
    """One request of a job: its line in the file, from 1, and the key that makes it idempotent.

    ``own`` are the columns that are not sent: JSON values for results and file names.
    """

    number: int
    key: str
    request: Request
    own: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


def parse_row(
    row: Row, duplicates: Duplicates, files: LocalFiles
) -> tuple[str | None, Request | None, list[Problem]]:
    """Return the key of a row (by default one from its content) and its request, or all problems.

    Without ``params``, ``kind`` and ``path``, each field of a ``phota-*`` model (default
    "phota-image") is checked by the class of the model. Any other row is a `GenerationRequest`, and its
    other fields are the parameters. Fields that are None are left out. Local files get a stand-in.
    """
    if row.problem is not None:
        return None, None, [Problem(row.number, None, row.problem)]
    parser = _RowParser(row, files)
    key, request = parser.parse()
    if key is None and request is not None:
        key = _default_key(request, duplicates)
    return key, request, parser.problems


class _RowParser:
    def __init__(self, row: Row, files: LocalFiles) -> None:
        self._number = row.number
        self._files = files
        self._is_text = row.is_text
        self._fields = {name: value for name, value in row.fields.items() if value is not None}
        self.problems: list[Problem] = []

    def parse(self) -> tuple[str | None, Request | None]:
        key = self._fields.pop("key", None)
        if key is not None and not (isinstance(key, str) and key):
            self._add_problem("key", f"key is {key!r}; it must be a string that is not empty")
            key = None
        model = self._fields.pop("model", PhotaImage.model)
        cls = CLASSES.get(model) if isinstance(model, str) else None
        if cls is not None and not any(name in self._fields for name in _GENERAL):
            return key, self._of_class(cls)
        return key, self._general(model)

    def _add_problem(self, field: str | None, message: str) -> None:
        short = message if len(message) <= 400 else f"{message[:300]} … {message[-90:]}"  # noqa: PLR2004
        self.problems.append(Problem(self._number, field, short))

    def _of_class(self, cls: type[Request]) -> Request | None:
        columns = attrs.fields_dict(cast("type[attrs.AttrsInstance]", cls))
        for name in self._fields:
            if name not in columns:
                self._add_problem(
                    name,
                    f"{cls.__name__} has no field {name!r}; it has {', '.join(columns)}. To send a field "
                    'that the service has added since, put all fields into "params": {…}',
                )
        values: dict[str, Any] = {}
        for name, column in columns.items():
            if name in self._fields:
                values[name] = self._checked(column, self._fields[name], _types(cls)[name])
            elif column.default is attrs.NOTHING:
                self._add_problem(name, f"{name} is missing")
        return None if self.problems else cls(**values)

    def _checked(self, column: attrs.Attribute[Any], value: Any, kinds: frozenset[Any]) -> Any:
        name = column.name
        if self._is_text:
            # A path may have spaces, which otherwise separate the items of a list.
            is_one_file = tuple in kinds and self._files.is_input(name, value)
            value = [value] if is_one_file else _typed_cell(value, kinds)
        convert: Any = cast("Any", column).converter
        value = value if convert is None else convert(value)
        try:
            if not (tuple in kinds and isinstance(value, str)):
                value = self._files.replace(name, value)
            if column.validator is not None:
                column.validator(None, column, value)
        except (InvalidRequestError, LocalFileError) as error:
            self._add_problem(name, str(error))
        return value

    def _with_files(self, name: object, value: Any) -> Any:
        try:
            return self._files.replace(str(name), value, strict=False)
        except LocalFileError as error:
            self._add_problem(str(name), str(error))
            return value

    def _general(self, model: Any) -> Request | None:
        given = self._fields
        if self._is_text:
            given = {name: self._json_or_text(name, value) for name, value in given.items()}
        options = {name: given.pop(name) for name in ("kind", "path") if name in given}
        params: Any = given
        if "params" in given:
            params = given.pop("params")
            for name in given:
                self._add_problem(name, f"{name} is outside of params; only params is sent")
        if is_mapping(params):
            params = {name: self._with_files(name, value) for name, value in params.items()}
        if self.problems:
            return None
        try:
            return GenerationRequest(model, params, **options)
        except InvalidRequestError as error:
            self._add_problem(error.field, str(error))
            return None

    def _json_or_text(self, name: str, text: str) -> Any:
        if name in _TEXTS:
            return text
        try:
            return json.loads(text)
        except ValueError as error:
            if text.lstrip().startswith(_LOOKS_LIKE_JSON):
                self._add_problem(name, f"looks like JSON and is not: {error}")
            return text


def _typed_cell(text: str, kinds: frozenset[Any]) -> Any:
    """Return the value of a cell as one of these types, else as it is, for the validator to reject."""
    if tuple in kinds and not text.lstrip().startswith("["):
        return text.split()
    convert: Any = next((kind for kind in (int, float) if kind in kinds), str)
    try:
        return json.loads(text) if tuple in kinds else convert(text)
    except ValueError:
        return text


@cache
def _types(cls: type[Request]) -> Mapping[str, frozenset[Any]]:
    return {name: frozenset(_types_of(hint)) for name, hint in typing.get_type_hints(cls).items()}


def _types_of(hint: Any) -> list[Any]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return [kind for part in typing.get_args(hint) for kind in _types_of(part)]
    return [typing.get_origin(hint) or hint]


def _default_key(request: Request, duplicates: Duplicates) -> str:
    """Return the key of a request that has none. It does not change when lines are appended."""
    payload = request.payload()
    # Equal if and only if it is the same POST.
    content = json.dumps([request.path, payload], sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.blake2b(content, digest_size=_DIGEST).digest()
    # People recognise the picture by the beginning of the prompt.
    prompt = payload.get("prompt")
    text = _NON_WORDS.sub("-", prompt[:200].casefold()) if isinstance(prompt, str) else ""
    slug = text.strip("-")[:_LONGEST_SLUG].rstrip("-")
    # 16 digits, because `safe_name` marks a name that it has changed with 12.
    key = f"{slug}-{digest.hex()[:16]}" if slug else digest.hex()[:16]
    number = duplicates.count(digest)
    return key if number == 1 else f"{key}-{number}"
