"""Plain tables (from TOML or JSON) to frozen dataclasses and back, with errors that say where and what to write.

Knows nothing of tasks: the dataclass's own field names and types are the format.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from savs.data.hints import closest
from savs.errors import DataError

T = TypeVar("T")


def from_table(cls: type[T], table: object, where: str) -> T:
    """Build the dataclass `cls` out of a table whose keys are its field names.

    Field types may be str, int, None, unions of these, `tuple[X, ...]` (one string stands for a list of one),
    `Mapping[str, X]` and dataclasses, nested as you like.

    Raises:
        DataError: a key is unknown or missing, or a value has another type; `where` begins the message.
    """
    if not isinstance(table, Mapping):
        raise DataError(f"{where} is {_describe(table)}; expected a table with the keys {_names(cls)}")
    hints = get_type_hints(cls)
    for key in table:
        if key not in hints:
            close = closest(str(key), hints)
            hint = f"did you mean {close!r}?" if close else f"expected some of {_names(cls)}"
            raise DataError(f"{where} has an unknown key {key!r}; {hint}")
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in table:
            values[field.name] = _convert(table[field.name], hints[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{where} lacks {field.name!r}; expected {_names(cls)}")
    return cls(**values)


def to_table(value: Any) -> dict[str, Any]:
    """The table that `from_table` builds `value` from, of JSON's own types, without what is left at its default."""
    defaults = {f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in fields(value)}
    kept = {name: getattr(value, name) for name in defaults if getattr(value, name) != defaults[name]}
    return {name: _plain(item) for name, item in kept.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return to_table(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _convert(value: object, hint: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)), where)
    if origin is tuple:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise DataError(f"{where} is {_describe(value)}; expected a list")
        return tuple(_convert(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(items))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise DataError(f"{where} is {_describe(value)}; expected a table")
        return {str(key): _convert(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return from_table(hint, value, where)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise DataError(f"{where} is {_describe(value)}; expected {_EXPECTED[hint]}")
    return value


_EXPECTED = {str: "text", int: "a whole number", bool: "true or false"}


def _describe(value: object) -> str:
    return "empty" if value is None else f"{value!r} ({type(value).__name__})"


def _names(cls: type) -> str:
    return ", ".join(field.name for field in fields(cls))
