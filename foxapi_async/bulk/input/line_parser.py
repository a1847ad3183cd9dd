"""From a row of a job file to a request and its key, with everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from foxapi_async import GenerationRequest, InvalidRequestError, PhotaImage, Request
from foxapi_async._typeguards import is_mapping
from foxapi_async.bulk.input.cells import is_list, is_missing, json_or_text, typed_value
from foxapi_async.bulk.input.field_names import (
    FIELDS,
    GENERAL,
    columns_of,
    layout_of,
    meaning_of,
    model_name,
    required_of,
    same_name,
)
from foxapi_async.bulk.input.job_line import default_key, own_key
from foxapi_async.bulk.input.line_rules import LineRules
from foxapi_async.bulk.input.local_files import LocalFileError, LocalFiles, takes_url
from foxapi_async.bulk.input.prompt_template import PromptTemplate, TemplateError
from foxapi_async.bulk.input.rows.row import Cell, Header, Row
from foxapi_async.bulk.temporary_index import Duplicates
from foxapi_async.errors import Problem
from foxapi_async.phota import CLASSES


@attrs.frozen
class ParsedLine:
    """What a row says; ``key`` and ``request`` are None if something is wrong with it.

    ``key_column`` is the own column that serves as the key, if one does.
    """

    key: str | None = None
    request: Request | None = None
    own: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    problems: Sequence[Problem] = ()
    key_column: str | None = None


_GENERAL: Final = frozenset(GENERAL)


class LineParser:
    """Parses the rows of one job file, in their order.

    Without ``params``, ``kind`` and ``path``, each field of a ``phota-*`` model (default
    "phota-image") is checked by the class of the model, and all other fields are own columns. Any other
    row is a `GenerationRequest`: beside ``params`` there may be own columns, and without it all fields
    are parameters. Fields that are None are left out. Local files get a stand-in. A fault that concerns the names of columns or the
    rules is reported once, in the first row that has it.
    """

    def __init__(self, rules: LineRules, duplicates: Duplicates, files: LocalFiles) -> None:
        self.rules: Final = rules
        self.duplicates: Final = duplicates
        self.files: Final = files
        template = frozenset[str]() if rules.template is None else rules.template.names
        self.explicit: Final = template | frozenset(rules.columns)
        self.used_columns: set[str] = set()
        self._reported: set[object] = set()

    def parse(self, row: Row) -> ParsedLine:
        """Return the key of a row (by default one from its content), and its request."""
        if row.problem is not None:
            return ParsedLine(problems=[Problem(row.number, None, row.problem)])
        return _RowParser(self, row).parse()

    def is_first(self, fault: object) -> bool:
        """Return whether a fault has not been reported yet; it counts as reported from now on."""
        if fault in self._reported:
            return False
        self._reported.add(fault)
        return True

    def unused_columns(self) -> list[Problem]:
        """Return a problem for each column that the rules map and that no row had."""
        return [
            Problem(1, name, f"no line has the column {column!r}, which is to be {name!r}")
            for name, column in self.rules.columns.items()
            if column not in self.used_columns and self.is_first(("column", name))
        ]


class _RowParser:
    def __init__(self, parser: LineParser, row: Row) -> None:
        self._parser = parser
        self._rules = parser.rules
        self._row = row
        self._header = row.header
        self._fields = {name: value for name, value in row.fields.items() if value is not None}
        self._suspected: set[str | None] = set()  # Fields that are there under a wrong name
        self._is_wrong = False
        self._problems: list[Problem] = []
        self._key_column: str | None = None

    def parse(self) -> ParsedLine:
        if self._rules.columns:
            self._fields = self._renamed()
        model = self._take_model()
        cls = self._class_of(model)
        if cls is not None and self._header is not None:
            self._drop_missing()
        if self._rules.defaults:
            self._add_defaults(exactly=cls is None)
        if self._rules.template is not None:
            self._fill_template(self._rules.template, exactly=cls is None)
        own: dict[str, Any] = {}
        key, request = self._general(model, own) if cls is None else self._of_class(cls, own)
        if self._is_wrong:
            return ParsedLine(key, None, own, self._problems)
        if key is None and request is not None:
            key = default_key(request, self._parser.duplicates)
        return ParsedLine(key, request, own, key_column=self._key_column)

    def _report(self, field: str | None, message: str, number: int | None = None) -> None:
        self._is_wrong = True
        if field is not None and self._is_default(field):
            if not self._parser.is_first(("default", field, message)):
                return
            message = f"the default (--set) is wrong: {message}"
        short = message if len(message) <= 400 else f"{message[:300]} … {message[-90:]}"  # noqa: PLR2004
        self._problems.append(Problem(number or self._row.number, field, short))

    def _report_once(self, fault: object, field: str | None, message: str) -> None:
        self._is_wrong = True
        if self._parser.is_first(fault):
            self._report(field, message, None if self._header is None else self._header.number)

    def _is_default(self, field: str) -> bool:
        return field in self._rules.defaults and field not in self._row.fields

    def _renamed(self) -> dict[str, Any]:
        given = self._fields
        names = given if self._header is None else self._header.names
        renamed: dict[str, Any] = {}
        taken: set[str] = set()
        for name, column in self._rules.columns.items():
            found = same_name(column, names)
            if found is None:
                continue
            self._parser.used_columns.add(column)
            taken.add(found)
            if found in given:
                renamed[name] = given[found]
        for name, value in given.items():
            if name in taken:
                continue
            if name.casefold() in self._rules.columns and name.casefold() in FIELDS:
                column = self._rules.columns[name.casefold()]
                text = f"the column {name!r} is there too; only {column!r} can be {name.casefold()}"
                self._report_once(("mapped", name), name, text)
            else:
                renamed[name] = value
        return renamed

    def _take_model(self) -> Any:
        name = model_name(tuple(self._fields))
        model = None if name is None else self._fields.pop(name)
        if model is None or is_missing(model):
            model = self._rules.defaults.get("model", PhotaImage.model)
        return str(model) if isinstance(model, Cell) else model

    def _class_of(self, model: Any) -> type[Request] | None:
        """Return the class of a row; None for a `GenerationRequest`."""
        if not self._rules.defaults and _GENERAL.isdisjoint(self._fields):
            return CLASSES.get(model) if isinstance(model, str) else None
        for name in GENERAL:
            if name in self._fields and is_missing(self._fields[name]):
                del self._fields[name]
            if name in self._rules.defaults:
                self._fields.setdefault(name, _default(self._rules.defaults[name]))
        if not isinstance(model, str) or any(name in self._fields for name in GENERAL):
            return None
        return CLASSES.get(model)

    def _drop_missing(self) -> None:
        for name, value in list(self._fields.items()):
            if isinstance(value, Cell) and is_missing(value) and name.casefold() in FIELDS:
                if name.casefold() == "prompt":
                    text = (
                        f"prompt is {str(value)!r}, which stands for an empty cell; as a prompt it "
                    )
                    self._report("prompt", f"{text}can only be given in JSON")
                    self._suspected.add("prompt")
                del self._fields[name]

    def _add_defaults(self, *, exactly: bool) -> None:
        there = set(self._fields) if exactly else {name.casefold() for name in self._fields}
        for name, value in self._rules.defaults.items():
            if name != "model" and (name if exactly else name.casefold()) not in there:
                self._fields[name] = _default(value)

    def _fill_template(self, template: PromptTemplate, *, exactly: bool) -> None:
        values = {**self._row.fields, **self._fields}

        def lookup(name: str) -> Any:
            found = same_name(name, values)
            value = None if found is None else values[found]
            return None if is_missing(value) else value

        try:
            prompt = template.format(lookup)
        except TemplateError as error:
            prompt = "?"
            if self._header is not None and same_name(error.name, self._header.names) is not None:
                self._report("prompt", str(error))  # a matter of this cell, not of the header
            else:
                self._report_once(str(error), "prompt", str(error))
        for name in list(self._fields):
            if name == "prompt" or (not exactly and name.casefold() == "prompt"):
                del self._fields[name]
        self._fields["prompt"] = prompt

    def _sort(
        self, names: Iterable[str], cls: type[Request] | None, own: dict[str, Any]
    ) -> tuple[str | None, dict[str, Any]]:
        """Return the key and what is given for the request; collect the own columns."""
        layout = layout_of(tuple(names), cls, self._parser.explicit)
        for name, meaning in layout.faults:
            self._suspected.add(meaning.near)
            self._report_once(("name", name, cls), name, meaning.question or "")
        for name in layout.own:
            value = self._fields[name]
            own[name] = str(value) if isinstance(value, Cell) else value
        given = {field: self._fields[name] for name, field in layout.fields}
        key = given.pop("key", None)
        if key is None and layout.keys:
            self._key_column, key = own_key(own, layout.keys)
        return self._checked_key(key), given

    def _of_class(
        self, cls: type[Request], own: dict[str, Any]
    ) -> tuple[str | None, Request | None]:
        key, given = self._sort(self._fields, cls, own)
        values = {name: self._value(value, cls, name) for name, value in given.items()}
        for name in required_of(cls):
            if name not in given and name not in self._suspected:
                self._report_missing(name, cls)
        if not self._is_wrong:
            try:
                return key, cls(**values)
            except InvalidRequestError:
                pass  # once more, field by field, for all that is wrong
        for name, column in columns_of(cls).items():
            if name in values and name not in self._suspected:
                self._check(column, values[name])
        return key, None

    def _value(self, value: Any, cls: type[Request], name: str) -> Any:
        if not takes_url(name):
            is_final = isinstance(value, str) and not isinstance(value, Cell)
            return value if is_final else typed_value(value, cls, name)
        # A path may have spaces, which otherwise separate the items of a list.
        is_path = isinstance(value, Cell) and self._parser.files.is_input(name, value)
        value = [str(value)] if is_path and is_list(cls, name) else typed_value(value, cls, name)
        convert: Any = cast("Any", columns_of(cls)[name]).converter
        value = value if convert is None else convert(value)
        if is_list(cls, name) and isinstance(value, str):
            return value  # for the validator to refuse
        return self._with_files(name, value, strict=True)

    def _with_files(self, name: str, value: Any, *, strict: bool) -> Any:
        try:
            return self._parser.files.replace(name, value, strict=strict)
        except LocalFileError as error:
            self._report(name, str(error))
            self._suspected.add(name)
            return value

    def _check(self, column: attrs.Attribute[Any], value: Any) -> None:
        convert: Any = cast("Any", column).converter
        value = value if convert is None else convert(value)
        try:
            if column.validator is not None:
                column.validator(None, column, value)
        except InvalidRequestError as error:
            self._report(column.name, str(error))

    def _report_missing(self, name: str, cls: type[Request]) -> None:
        column = self._rules.columns.get(name)
        if column is not None and column not in self._parser.used_columns:
            text = f"{name} is missing: there is no column {column!r} (--field {name}={column})"
            self._report_once(("column", name), name, text)
        elif self._header is None or self._has_column(name, cls, self._header):
            self._report(name, f"{name} is missing")
        else:
            names = ", ".join(map(repr, self._header.names))
            text = f"{name} is missing: the table has no column of this name, only {names}"
            hint = f"{text[:300]}; name one with --field {name}=COLUMN"
            self._report_once(("missing", name, cls), name, hint)

    def _has_column(self, name: str, cls: type[Request], header: Header) -> bool:
        return name in self._rules.columns or any(
            meaning_of(each, cls).field == name for each in header.names
        )

    def _checked_key(self, key: Any) -> str | None:
        if key is None or (isinstance(key, str) and key):
            return str(key) if isinstance(key, Cell) else key
        self._report("key", f"key is {key!r}; it must be a string that is not empty")
        return None

    def _general(self, model: Any, own: dict[str, Any]) -> tuple[str | None, Request | None]:
        if "params" in self._fields:
            params = self._json_or_text("params")
            options = {name: self._json_or_text(name) for name in self._options()}
            rest = (name for name in self._fields if name != "params" and name not in options)
            key, _ = self._sort(rest, None, own)
        else:
            given = {name: self._json_or_text(name) for name in self._fields}
            options = {name: given.pop(name) for name in self._options()}
            key = self._checked_key(given.pop("key", None))
            params = {name: value for name, value in given.items() if value is not None}
        if is_mapping(params):
            params = {
                name: self._with_files(str(name), value, strict=False)
                for name, value in params.items()
            }
        if self._is_wrong:
            return key, None
        try:
            return key, GenerationRequest(model, params, **options)
        except InvalidRequestError as error:
            self._report(error.field, str(error))
            return key, None

    def _options(self) -> list[str]:
        return [name for name in ("kind", "path") if name in self._fields]

    def _json_or_text(self, name: str) -> Any:
        value = self._fields[name]
        if not isinstance(value, Cell):
            return value
        try:
            return json_or_text(name, value)
        except ValueError as error:
            self._report(name, f"looks like JSON and is not: {error}")
            return str(value)


def _default(value: Any) -> Any:
    # A text is read as in a table, because the command line has nothing but texts.
    return Cell(value) if isinstance(value, str) else value
