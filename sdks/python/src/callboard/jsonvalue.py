"""JSON for Python types: dataclasses, typed containers, enums, times, and Pydantic models where
they are used.

Reading is lenient where schemas grow (unknown members are dropped, missing ones take their
defaults) and strict about types. Times travel as ISO 8601 text, durations as seconds, bytes as
base64.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Union
from uuid import UUID

from .errors import PayloadError

Reader = Callable[[Any], Any]


def dumps(value: Any) -> bytes:
    """The value as compact JSON. Raises TypeError for what JSON cannot carry, NaN and infinities
    included.
    """
    try:
        return _ENCODER.encode(value).encode()
    except (ValueError, UnicodeEncodeError) as error:
        raise TypeError(f"cannot be written as JSON: {error}") from error


def loads(data: bytes) -> Any:
    """The value in JSON text. Raises `PayloadError` if it is not JSON."""
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"not JSON: {error}") from error


def _plain(value: Any) -> Any:
    """One step towards what `json` writes by itself; it calls back for what is inside."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


# Made once: json.dumps makes a new one for each call with options.
_ENCODER = json.JSONEncoder(
    default=_plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def reader(kind: Any) -> Reader:
    """A function that turns a parsed JSON value into `kind`; it raises `PayloadError` if the value
    does not fit.
    """
    try:
        return _reader(kind)
    except TypeError:  # unhashable type expressions, such as Annotated with a list
        return _build(kind)


@functools.cache
def _reader(kind: Any) -> Reader:
    return _build(kind)


def _build(kind: Any) -> Reader:
    if kind is None or kind is Any or isinstance(kind, typing.TypeVar):
        return lambda value: value
    if kind is type(None):
        return _only(lambda value: value is None, "null")
    origin = typing.get_origin(kind)
    if origin is not None:
        return _generic(kind, origin, typing.get_args(kind))
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return simple
    if not isinstance(kind, type):
        return lambda value: value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if issubclass(kind, enum.Enum):
        return _converted(kind, kind.__name__)
    if hasattr(kind, "model_validate"):
        return _converted(kind.model_validate, kind.__name__)
    if issubclass(kind, dict):  # dict itself, and TypedDict, which is a dict at run time
        return _only(lambda value: isinstance(value, dict), "an object")
    if issubclass(kind, (list, Sequence)):
        return _only(lambda value: isinstance(value, list), "a list")
    return _converted(kind, kind.__name__)


def _only(test: Callable[[Any], bool], wanted: str) -> Reader:
    def read(value: Any) -> Any:
        if not test(value):
            raise PayloadError(f"expected {wanted}, got {_shown(value)}")
        return value

    return read


def _converted(convert: Callable[[Any], Any], wanted: str) -> Reader:
    def read(value: Any) -> Any:
        try:
            return convert(value)
        except PayloadError:
            raise
        except Exception as error:
            raise PayloadError(f"expected {wanted}, got {_shown(value)}: {error}") from error

    return read


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PayloadError(f"expected a number, got {_shown(value)}")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or int(value) != value:
        raise PayloadError(f"expected a whole number, got {_shown(value)}")
    return int(value)


def _moment(value: Any) -> datetime:
    # Python before 3.11 does not know the Z that JavaScript writes.
    return datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)


_SIMPLE: dict[Any, Reader] = {
    bool: _only(lambda value: isinstance(value, bool), "true or false"),
    str: _only(lambda value: isinstance(value, str), "text"),
    int: _whole,
    float: _number,
    object: lambda value: value,
    datetime: _converted(_moment, "a date and time"),
    date: _converted(date.fromisoformat, "a date"),
    time: _converted(time.fromisoformat, "a time"),
    timedelta: _converted(lambda value: timedelta(seconds=_number(value)), "a number of seconds"),
    bytes: _converted(lambda value: base64.b64decode(value, validate=True), "base64 text"),
    UUID: _converted(UUID, "a UUID"),
    Decimal: _converted(lambda value: Decimal(str(value)), "a decimal number"),
}


def _generic(kind: Any, origin: Any, args: tuple[Any, ...]) -> Reader:
    if origin in (Union, types.UnionType):
        return _union(args)
    if origin is typing.Annotated:
        return reader(args[0])
    if origin is typing.Literal:
        return _only(lambda value: value in args, "one of " + ", ".join(map(repr, args)))
    if not isinstance(origin, type):
        return lambda value: value
    if dataclasses.is_dataclass(origin):
        return _dataclass(origin)
    if issubclass(origin, Mapping) or origin.__name__ == "MutableMapping":
        return _mapping(*args)
    if issubclass(origin, tuple) and not (len(args) == 2 and args[1] is Ellipsis):
        return _tuple(args)
    if issubclass(origin, (set, frozenset, tuple)):
        return _items(args[0], origin)
    if hasattr(origin, "__iter__"):
        return _items(args[0], list)
    return lambda value: value


def _union(args: tuple[Any, ...]) -> Reader:
    readers = [(reader(arg), arg) for arg in args]

    def read(value: Any) -> Any:
        problems = []
        for one, arg in readers:
            if (value is None) != (arg is type(None)):
                continue
            try:
                return one(value)
            except PayloadError as error:
                problems.append(str(error))
        raise PayloadError("; ".join(problems) or f"unexpected {_shown(value)}")

    return read


def _mapping(key_kind: Any = Any, value_kind: Any = Any) -> Reader:
    read_value = reader(value_kind)
    plain_key = key_kind in (str, Any)
    read_key = reader(key_kind)

    def key(text: str) -> Any:
        if plain_key:
            return text
        return read_key(int(text) if key_kind is int else text)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise PayloadError(f"expected an object, got {_shown(value)}")
        try:
            return {key(name): read_value(item) for name, item in value.items()}
        except PayloadError:
            raise
        except ValueError as error:
            raise PayloadError(str(error)) from error

    return read


def _items(item_kind: Any, container: Callable[[list[Any]], Any]) -> Reader:
    read_item = reader(item_kind)

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise PayloadError(f"expected a list, got {_shown(value)}")
        return container([read_item(item) for item in value])

    return read


def _tuple(args: tuple[Any, ...]) -> Reader:
    readers = [reader(arg) for arg in args]

    def read(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(readers):
            raise PayloadError(f"expected a list of {len(readers)}, got {_shown(value)}")
        return tuple(one(item) for one, item in zip(readers, value, strict=True))

    return read


def _dataclass(kind: type[Any]) -> Reader:
    readers: dict[str, Reader] = {}  # filled at the first use, so that a type may contain itself

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise PayloadError(f"expected an object for {kind.__name__}, got {_shown(value)}")
        if not readers:
            hints = typing.get_type_hints(kind, include_extras=True)
            readers.update(
                {f.name: reader(hints[f.name]) for f in dataclasses.fields(kind) if f.init}
            )
        known = {}
        for name, one in readers.items():
            if name in value:
                try:
                    known[name] = one(value[name])
                except PayloadError as error:
                    raise PayloadError(f"{name}: {error}") from error
        try:
            return kind(**known)
        except (TypeError, ValueError) as error:
            raise PayloadError(f"{kind.__name__}: {error}") from error

    return read
