"""How the columns of a job file become fields of requests: the options of `Job.read`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import attrs

from foxapi_async import InvalidRequestError
from foxapi_async.bulk.input.prompt_template import PromptTemplate


@attrs.frozen
class LineRules:
    """The rules for the lines of a job.

    ``columns`` are the columns to take fields from, by field; ``defaults`` the values of fields that a
    line does not have.
    """

    columns: Mapping[str, str] = attrs.field(factory=dict[str, str])
    defaults: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    template: PromptTemplate | None = None

    @classmethod
    def of(
        cls, fields: Mapping[str, str] | None, defaults: Mapping[str, Any] | None, text: str | None
    ) -> Self:
        """Check the options.

        Raises:
            InvalidRequestError: A name is empty, the key has a default, or the template is wrong.
        """
        fields, defaults = dict(fields or {}), dict(defaults or {})
        for name, column in fields.items():
            if not name or not column:
                raise InvalidRequestError(
                    f"fields has {name!r}: {column!r}; it must be the name of a field and the name of "
                    "a column (--field NAME=COLUMN)",
                    field="field",
                    value=column,
                )
        for name, value in defaults.items():
            if not name or name.casefold() == "key":
                raise InvalidRequestError(
                    f"there cannot be a default for {name!r}: "
                    f"{'each line needs its own key' if name else 'it is not the name of a field'}",
                    field="set",
                    value=value,
                )
        return cls(fields, defaults, None if text is None else PromptTemplate.parse(text))

    def names(self) -> frozenset[str]:
        """Return the names of columns that the rules use."""
        in_template = frozenset[str]() if self.template is None else self.template.names
        return in_template | frozenset(self.columns.values())
