"""The formats of a table of results: CSV, JSON lines and Parquet, written row by row. Blocking."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from itertools import islice
from typing import Any, BinaryIO, Final, Literal, get_args

import attrs

from foxapi_async import ConfigurationError
from foxapi_async._typeguards import is_array

TableFormat = Literal["csv", "jsonl", "parquet"]
FORMATS: Final[tuple[TableFormat, ...]] = get_args(TableFormat)

SEPARATOR: Final = "|"
"""Between the files of a line: no file name that a job makes contains it."""

_BEFORE: Final = ("line", "key")
_AFTER: Final = (
    *("status", "files", "task_id", "seconds", "outputs", "images", "credits"),
    *("error_code", "error", "model", "prompt"),
)
_FIXED: Final = frozenset({*_BEFORE, "job", *_AFTER})
_MOST_OWN: Final = 500
"""Own columns that get a column each; the others share the column ``own`` as JSON."""

_ROW_GROUP: Final = 10_000  # Rows of a Parquet file that are in memory at once
_INT64: Final = range(-(2**63), 2**63)

Rows = Iterable[Mapping[str, Any]]


@attrs.define
class Columns:
    """The columns of a table, which are known once `add` has seen every row."""

    has_jobs: bool = False
    _kinds: dict[str, set[str]] = attrs.field(factory=dict[str, set[str]], init=False)
    _has_rest: bool = attrs.field(default=False, init=False)

    def add(self, own: Mapping[str, Any]) -> None:
        """Take note of the own columns of a row."""
        for name, value in own.items():
            kinds = self._kinds.get(name)
            if kinds is None:
                if len(self._kinds) >= _MOST_OWN:
                    self._has_rest = True
                    continue
                kinds = self._kinds[name] = set()
            kinds.add(_kind(value))

    def own_names(self) -> dict[str, str]:
        """Return the name in the table of each own column.

        No two names of a table differ only in case: SQL takes them for one.
        """
        taken = set(_FIXED) | {"own"}
        names: dict[str, str] = {}
        for name in self._kinds:
            unique = name
            while unique.casefold() in taken:
                unique = f"own_{unique}"
            taken.add(unique.casefold())
            names[name] = unique
        return names

    def names(self) -> list[str]:
        """Return the names of all columns in their order."""
        job = ["job"] if self.has_jobs else []
        rest = ["own"] if self._has_rest else []
        return [*_BEFORE, *job, *self.own_names().values(), *rest, *_AFTER]

    def kind(self, own: str) -> str:
        """Return the kind of an own column: "int", "float", "bool" or "text"."""
        kinds = self._kinds[own] - {"none"}
        if kinds and kinds <= {"int", "float"}:
            return "float" if "float" in kinds else "int"
        return "bool" if kinds == {"bool"} else "text"

    def flat(self, rows: Rows) -> Iterator[dict[str, Any]]:
        """Yield the cells of each row by the names of their columns."""
        names = self.own_names()
        for row in rows:
            own = row["own"]
            cells = {**row, **{unique: own.get(name) for name, unique in names.items()}}
            cells["own"] = {name: value for name, value in own.items() if name not in names} or None
            yield cells


def write_rows(form: TableFormat, file: BinaryIO, columns: Columns, rows: Rows) -> None:
    """Write rows in a format, in bounded memory."""
    _WRITERS[form](file, columns, rows)


def check_format(form: TableFormat) -> None:
    """Raise ConfigurationError if the extra of a format is not installed."""
    if form == "parquet":
        _pyarrow()


def _write_csv(file: BinaryIO, columns: Columns, rows: Rows) -> None:
    # Spreadsheets recognise UTF-8 by the mark. Half a surrogate pair cannot be encoded.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="backslashreplace", newline="")
    try:
        names = columns.names()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for row in columns.flat(rows):
            writer.writerow([_cell(row[name]) for name in names])
        text.flush()
    finally:
        text.detach()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if is_array(value) and all(isinstance(each, str) for each in value):
        return SEPARATOR.join(value)
    return json.dumps(value, ensure_ascii=False)


def _write_jsonl(file: BinaryIO, columns: Columns, rows: Rows) -> None:
    for row in rows:
        shown = row if columns.has_jobs else {n: value for n, value in row.items() if n != "job"}
        file.write(json.dumps(shown).encode() + b"\n")


def _write_parquet(file: BinaryIO, columns: Columns, rows: Rows) -> None:
    pa, parquet = _pyarrow()
    own = {unique: columns.kind(name) for name, unique in columns.own_names().items()}
    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}
    fixed = dict.fromkeys((*_FIXED, "own"), "text")
    fixed |= dict.fromkeys(("line", "outputs", "images"), "int")
    fixed |= dict.fromkeys(("seconds", "credits"), "float")
    kinds = fixed | own
    schema = pa.schema(
        [
            (name, pa.list_(pa.string()) if name == "files" else types[kinds[name]])
            for name in columns.names()
        ]
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for some in _batches(columns.flat(rows)):
            arrays = [
                pa.array([_typed(name, kinds[name], row[name]) for row in some], field.type)
                for name, field in zip(schema.names, schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def _typed(name: str, kind: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "files":
        return [_storable(path) for path in value]
    if kind == "text":
        return _storable(value if isinstance(value, str) else json.dumps(value))
    return float(value) if kind == "float" else value


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while some := list(islice(rows, _ROW_GROUP)):
        yield some


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigurationError(
            "a Parquet table needs the extra: pip install 'foxapi-async[parquet]'. Or use the format "
            "csv or jsonl"
        ) from error


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if value in _INT64 else "text"
    return "float" if isinstance(value, float) else "text"


_WRITERS: Final[Mapping[TableFormat, Callable[[BinaryIO, Columns, Rows], None]]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
