"""Prompts from a template such as ``"{Prompt}, watercolor"``. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from string import Formatter
from typing import Any, Final, Self

import attrs

from foxapi_async import InvalidRequestError
from foxapi_async.bulk.input.rows.row import Cell


class TemplateError(Exception):
    """A line lacks what a template needs; the text says what, and is the same for all such lines.

    ``name`` is the column.
    """

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name: Final = name


@attrs.frozen
class PromptTemplate:
    """A text with the names of columns in braces, each perhaps with a format: ``{row:05}``.

    What is in braces is looked up as a name, so it cannot reach into values. ``{{`` is a brace.
    """

    text: str
    _parts: tuple[tuple[str, str | None, str], ...] = attrs.field(alias="parts", repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check a template.

        Raises:
            InvalidRequestError: It is not one, or names no column.
        """
        try:
            parts = list(Formatter().parse(text))
        except (ValueError, TypeError, AttributeError) as error:
            raise _refuse(text, str(error)) from None
        for _, name, form, conversion in parts:
            if name is not None and not name.strip():
                raise _refuse(text, "it has {} without a name in it")
            if conversion is not None or "{" in (form or ""):
                raise _refuse(text, f"{{{name}}} may only have a format, such as {{{name}:05}}")
        if all(name is None for _, name, _, _ in parts):
            raise _refuse(text, 'it names no column, such as "{prompt}, watercolor"')
        return cls(text, tuple((literal, name, form or "") for literal, name, form, _ in parts))

    @property
    def names(self) -> frozenset[str]:
        """The names in braces."""
        return frozenset(name for _, name, _ in self._parts if name is not None)

    def format(self, lookup: Callable[[str], Any]) -> str:
        """Return the prompt of a line; ``lookup`` returns the value of a name, None if there is none.

        Raises:
            TemplateError: A value is missing, or does not take its format.
        """
        texts: list[str] = []
        for literal, name, form in self._parts:
            texts.append(literal)
            if name is not None:
                texts.append(_formatted(name, lookup(name), form))
        return "".join(texts)


def _refuse(text: object, why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the template {text!r} cannot be used: {why}. A brace of the text itself is written {{{{",
        field="template",
        value=text,
    )


def _formatted(name: str, value: Any, form: str) -> str:
    if value is None:
        raise TemplateError(f"the template needs {name!r}, which this line does not have", name)
    if isinstance(value, Cell):
        value = int(value) if form and value.strip().isdecimal() else str(value)
    elif not isinstance(value, str | int | float) or isinstance(value, bool):
        value = json.dumps(value, ensure_ascii=False)
    try:
        return format(value, form)
    except ValueError as error:
        raise TemplateError(
            f"the format of {{{name}:{form}}} does not fit a value: {error}", name
        ) from None
