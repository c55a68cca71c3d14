"""How values become payloads: protobuf messages by their type, everything else as JSON."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError, Message

from . import jsonvalue
from .errors import PayloadError
from .protocol.callboard.type.v1.type_pb2 import Payload

T = TypeVar("T")
M = TypeVar("M", bound=Message)

PROTOBUF = "application/protobuf"
JSON = "application/json"


class Codec(Protocol[T]):
    """Turns values of one type into payloads and back. Codecs hold no state of a call and may be
    shared.
    """

    @property
    def content_type(self) -> str:
        """The media type of encoded values."""

    @property
    def type_url(self) -> str:
        """Full name of the protobuf message; empty for JSON."""

    @property
    def file(self) -> Any:
        """The descriptor of the file that declares the message; None for JSON."""

    def encode(self, value: T) -> bytes:
        """The value's bytes. Raises TypeError if it is not a `T`."""

    def decode(self, payload: Payload) -> T:
        """The value in a payload. Raises `PayloadError` if there is none of this type."""

    def missing(self) -> T:
        """What a missing argument or reply means."""


class ProtoCodec(Generic[M]):
    """Protobuf messages of one type. Reads the message's JSON form too, for callers without its
    proto.
    """

    content_type = PROTOBUF

    def __init__(self, message_type: type[M]) -> None:
        self.message_type = message_type
        self.type_url: str = message_type.DESCRIPTOR.full_name
        self.file: Any = message_type.DESCRIPTOR.file

    def encode(self, value: M) -> bytes:
        if not isinstance(value, self.message_type):
            raise TypeError(f"expected {self.type_url}, got {type(value).__name__}")
        # Deterministic, so that a state that did not change encodes to the same bytes even if it
        # holds maps.
        return value.SerializeToString(deterministic=True)

    def decode(self, payload: Payload) -> M:
        kind = payload.content_type
        if kind == PROTOBUF:
            if payload.type_url not in ("", self.type_url):
                raise PayloadError(f"expected {self.type_url}, got {payload.type_url}")
            message = self.message_type()
            try:
                message.ParseFromString(payload.data)
            except DecodeError as error:
                raise PayloadError(f"not a {self.type_url}: {error}") from error
            return message
        if kind == JSON:
            try:
                return json_format.Parse(payload.data.decode(), self.message_type())
            except (json_format.ParseError, UnicodeDecodeError) as error:
                raise PayloadError(f"not a {self.type_url} in JSON: {error}") from error
        raise PayloadError(f"expected {self.type_url}, got content type {kind!r}")

    def missing(self) -> M:
        return self.message_type()


class JsonCodec(Generic[T]):
    """JSON values, read as `value_type`: a dataclass, a typed container, a Pydantic model, or
    anything (None).
    """

    content_type = JSON
    type_url = ""
    file: Any = None

    def __init__(self, value_type: Any = None) -> None:
        self.value_type = value_type
        self._read = jsonvalue.reader(value_type)

    def encode(self, value: T) -> bytes:
        return jsonvalue.dumps(value)

    def decode(self, payload: Payload) -> T:
        if payload.content_type != JSON:
            raise PayloadError(f"expected JSON, got content type {payload.content_type!r}")
        value: T = self._read(jsonvalue.loads(payload.data))
        return value

    def missing(self) -> T:
        value: T = self._read(None)
        return value


def fill_payload(payload: Payload, codec: Codec[T], value: T) -> None:
    """Encodes a value into `payload`, a message that is part of a larger one."""
    payload.data = codec.encode(value)
    payload.content_type = codec.content_type
    payload.type_url = codec.type_url


def any_payload(value: Any) -> Payload:
    """A protobuf message as itself and any other value as JSON; an empty payload for None."""
    if value is None:
        return Payload()
    if isinstance(value, Message):
        name = value.DESCRIPTOR.full_name
        return Payload(content_type=PROTOBUF, type_url=name, data=value.SerializeToString())
    return Payload(content_type=JSON, data=jsonvalue.dumps(value))


def message_payload(message: Any) -> Payload:
    """What is said on a channel: a protobuf message as itself and any other value as JSON."""
    if message is None:
        return Payload(content_type=JSON, data=jsonvalue.dumps(None))
    return any_payload(message)


def any_value(payload: Payload | None) -> Any:
    """What `any_payload` was given: a message of a type that this process knows, a JSON value, or
    None. Other content comes as bytes.
    """
    if payload is None or not payload.content_type:
        return None
    if payload.content_type == JSON:
        return jsonvalue.loads(payload.data)
    if payload.content_type != PROTOBUF:
        return payload.data
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(payload.type_url)
    except KeyError:
        return payload.data
    return message_factory.GetMessageClass(descriptor).FromString(payload.data)
