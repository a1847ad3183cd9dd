"""Values of the package as types of Pydantic models and of FastAPI's answers."""

from __future__ import annotations

from typing import Any

from pydantic_core import core_schema


def core_schema_of(cls: type[Any]) -> core_schema.CoreSchema:
    """Return a schema that takes values of the class and what `to_dict()` returned, and writes the latter."""
    from_dict = core_schema.no_info_after_validator_function(
        cls.from_dict, core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())
    )
    return core_schema.json_or_python_schema(
        json_schema=from_dict,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_dict]),
        serialization=core_schema.plain_serializer_function_ser_schema(
            _as_dict, return_schema=core_schema.dict_schema()
        ),
    )


def _as_dict(value: Any) -> dict[str, Any]:
    described: dict[str, Any] = value.to_dict()
    return described
