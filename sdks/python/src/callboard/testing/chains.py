"""Pipes and forwards of a test: who answers in whose place."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ..codec import any_value
from ..errors import CallError, Code
from ..ids import ActorId
from ..protocol.callboard.host.v1.host_pb2 import TurnResult
from .lives import Effect, NextCall, Request

#: Actors that a call may come through by pipes and forwards.
HOPS_MAX = 32


def next_call(request: Request, result: TurnResult) -> NextCall:
    """Where a turn left the answer to."""
    kind: Literal["pipe", "forward"] = "pipe" if result.workflow.HasField("pipe") else "forward"
    call = result.workflow.pipe if kind == "pipe" else result.workflow.forward
    target = ActorId(call.target.type, call.target.key, call.target.system or request.target.system)
    payload = result.reply if kind == "pipe" else request.payload
    return NextCall(kind, target, call.action, any_value(payload))


def follow(request: Request, result: TurnResult) -> tuple[Effect, Request]:
    """The call with which another actor answers in the place of one."""
    call = next_call(request, result)
    effect = Effect(call.target, call.action, call.argument, request.target)
    return effect, replace(
        request,
        target=call.target,
        action=call.action,
        payload=result.reply if call.kind == "pipe" else request.payload,
        request_id=f"{request.request_id}/next",
        caller=request.target,
        attempt=1,
        fault=None,
        hops=(*request.hops, (request.target, request.action)),
        timer=False,
    )


def unless_endless(request: Request, result: TurnResult) -> TurnResult:
    """The result, or an error if it pipes or forwards in a circle or too far."""
    if not result.HasField("reply") or not result.workflow.WhichOneof("next"):
        return result
    call = next_call(request, result)
    hops = (*request.hops, (request.target, request.action))
    if (call.target, call.action) in hops:
        text = f"{call.target} {call.action} was passed already; the turn is discarded"
        error = CallError(Code.FAILED_PRECONDITION, "CALL_CYCLE", text)
    elif len(hops) > HOPS_MAX:
        text = f"more than {HOPS_MAX} pipes and forwards; the turn is discarded"
        error = CallError(Code.FAILED_PRECONDITION, "CHAIN_TOO_LONG", text)
    else:
        return result
    refused = TurnResult(turn_id=result.turn_id)
    error.fill(refused.error)
    return refused


def crashed_host() -> TurnResult:
    """What a turn ends with that no host survives."""
    text = "every host that ran the turn died; the turn is given up, its changes are discarded"
    result = TurnResult()
    CallError(Code.ABORTED, "TURN_CRASHED_HOST", text).fill(result.error)
    return result
