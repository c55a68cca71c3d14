"""Reads google.rpc.Status from failed gRPC calls.

The messages are declared here under names of our own, so that they never clash with googleapis-
common-protos in the user's process; on the wire they are the same.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory

from .errors import CallError, Code, Retry
from .protocol.callboard.type.v1 import type_pb2

_DETAILS_KEY = "grpc-status-details-bin"
_FIELD = descriptor_pb2.FieldDescriptorProto
_ERROR_INFO = "google.rpc.ErrorInfo"
_RETRY_INFO = "google.rpc.RetryInfo"
DOMAIN = "callboard.io"


def _declare() -> tuple[Any, Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="callboard/sdk/rpcstatus.proto",
        package="callboard.sdk",
        syntax="proto3",
        dependency=[any_pb2.DESCRIPTOR.name, duration_pb2.DESCRIPTOR.name],
    )

    def field(
        message: Any, name: str, number: int, kind: int, of: str = "", many: bool = False
    ) -> None:
        label = _FIELD.LABEL_REPEATED if many else _FIELD.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, type_name=of or None, label=label)

    status = file.message_type.add(name="Status")
    field(status, "code", 1, _FIELD.TYPE_INT32)
    field(status, "message", 2, _FIELD.TYPE_STRING)
    field(status, "details", 3, _FIELD.TYPE_MESSAGE, ".google.protobuf.Any", many=True)
    info = file.message_type.add(name="ErrorInfo")
    field(info, "reason", 1, _FIELD.TYPE_STRING)
    field(info, "domain", 2, _FIELD.TYPE_STRING)
    field(
        info,
        "metadata",
        3,
        _FIELD.TYPE_MESSAGE,
        ".callboard.sdk.ErrorInfo.MetadataEntry",
        many=True,
    )
    entry = info.nested_type.add(name="MetadataEntry")
    entry.options.map_entry = True
    field(entry, "key", 1, _FIELD.TYPE_STRING)
    field(entry, "value", 2, _FIELD.TYPE_STRING)
    retry = file.message_type.add(name="RetryInfo")
    field(retry, "retry_delay", 1, _FIELD.TYPE_MESSAGE, ".google.protobuf.Duration")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    names = pool.FindFileByName(file.name).message_types_by_name
    make = message_factory.GetMessageClass
    return make(names["Status"]), make(names["ErrorInfo"]), make(names["RetryInfo"])


Status, ErrorInfo, RetryInfo = _declare()


def call_error(error: grpc.RpcError, request_id: str = "") -> CallError:
    """The facts of a failed unary call or stream, from its status details where the server gave
    them.
    """
    code = Code.of(error.code().value[0])
    made = CallError(code, code.name, error.details() or "", retry=_retry_of(code))
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            made = _from_details(value, made)
    made.request_id = request_id
    return made


def _retry_of(code: Code) -> Retry:
    # Without details the connection failed: the call may have run.
    return Retry.SAME_ID if code == Code.UNAVAILABLE else Retry.NEVER


def _from_details(data: bytes, fallback: CallError) -> CallError:
    try:
        status = Status.FromString(data)
    except ValueError:
        return fallback
    facts = type_pb2.CallError(
        code=status.code,
        reason=fallback.reason,
        message=status.message or fallback.message,
        retry=int(fallback.retry),
    )
    for item in status.details:
        kind = item.type_url.rpartition("/")[2]
        if kind == _ERROR_INFO:
            info = ErrorInfo.FromString(item.value)
            facts.reason = info.reason
            facts.metadata.update(info.metadata)
            facts.from_actor = facts.metadata.pop("from_actor", "") == "true"
            name = facts.metadata.pop("retry", "")
            if name in type_pb2.Retry.__members__:
                facts.retry = int(type_pb2.Retry[name])
        elif kind == _RETRY_INFO:
            delay = RetryInfo.FromString(item.value).retry_delay
            facts.retry_after_ms = max(0, delay.seconds * 1000 + delay.nanos // 1_000_000)
        else:
            facts.details.add().CopyFrom(item)
    return CallError.from_proto(facts)
