"""JSON for Python types."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Optional, TypedDict
from uuid import UUID

import pytest

from callboard import PayloadError
from callboard.jsonvalue import dumps, loads, reader


class Colour(enum.Enum):
    """Plain, so that it does not serialise by itself."""

    RED = "red"


@dataclass
class Node:
    """A type that contains itself."""

    name: str
    children: list[Node] = field(default_factory=list)
    parent: Optional[str] = None  # noqa: UP045


class Point(TypedDict):
    """A dict at run time."""

    x: int


@dataclass
class Everything:
    """One of each."""

    flag: bool
    at: datetime
    day: date
    took: timedelta
    raw: bytes
    id: UUID
    price: Decimal
    colour: Colour
    mode: Literal["a", "b"]
    numbers: dict[int, float]
    pair: tuple[int, str]
    tags: set[str]
    many: tuple[int, ...]
    point: Point
    either: int | str | None
    node: Node
    anything: Any = None


_EVERYTHING = Everything(
    flag=True,
    at=datetime(2030, 1, 2, tzinfo=timezone.utc),
    day=date(2030, 1, 2),
    took=timedelta(seconds=1.5),
    raw=b"\x00\xff",
    id=UUID(int=7),
    price=Decimal("1.10"),
    colour=Colour.RED,
    mode="b",
    numbers={1: 2.5},
    pair=(1, "x"),
    tags={"b", "a"},
    many=(1, 2),
    point={"x": 1},
    either="text",
    node=Node("root", [Node("leaf", parent="root")]),
)


def every_supported_type_survives_the_way_to_json_and_back() -> None:
    assert reader(Everything)(loads(dumps(_EVERYTHING))) == _EVERYTHING


def a_time_that_javascript_wrote_is_read() -> None:
    moment = datetime(2030, 1, 2, tzinfo=timezone.utc)
    assert reader(datetime)("2030-01-02T00:00:00.000Z") == moment


def a_schema_may_grow_members_that_either_side_does_not_know() -> None:
    assert reader(Node)({"name": "n", "colour": "red"}) == Node("n")


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (int, "1", "whole number"),
        (int, 1.5, "whole number"),
        (int, True, "whole number"),
        (str, 1, "text"),
        (Node, [], "object"),
        (Node, {}, "name"),
        (Node, {"name": "n", "children": [{"name": 1}]}, "children: name"),
        (list[int], {"a": 1}, "list"),
        (dict[int, str], {"x": "y"}, "invalid literal"),
        (tuple[int, str], [1], "list of 2"),
        (Literal["a"], "b", "one of 'a'"),
        (Colour, "blue", "Colour"),
        (datetime, "yesterday", "date and time"),
        (Optional[int], "x", "whole number"),  # noqa: UP045
    ],
)
def a_value_of_another_type_is_refused_with_its_place(kind: Any, value: Any, problem: str) -> None:
    with pytest.raises(PayloadError, match=problem):
        reader(kind)(value)


def what_json_cannot_carry_is_refused_when_it_is_written() -> None:
    for value in (float("nan"), object(), {"x": float("inf")}, "\ud800"):
        with pytest.raises(TypeError, match="JSON"):
            dumps(value)
    for text in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(PayloadError, match="not JSON"):
            loads(text)


def a_model_with_pydantics_interface_is_validated_and_dumped() -> None:
    class Model(NamedTuple):
        value: int

        @classmethod
        def model_validate(cls, value: Any) -> Model:
            return cls(value["value"] + 1)

    assert reader(Model)({"value": 1}) == Model(2)
