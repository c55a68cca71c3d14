/**
 * Stand-ins for the other actors that the actor under test calls.
 */
import type { Awaitable } from "../actor.js";
import { addressText } from "../address.js";
import type { ActionMap, ActorDef, AnyAction, ArgOf, ReplyInitOf } from "../definition.js";
import type { RetryAdvice } from "../errors.js";
import { CallboardError, Code, errorToWire, isCallboardError } from "../errors.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import { Retry } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress } from "../invoker.js";
import type { CallOutcome, CallRequest } from "../turn/calls.js";

/** What a stand-in is told of a call beside its argument and its target. */
export interface StubCall {
  /** The call's request id: the same if the turn, or the step of a saga, is run again. */
  readonly requestId: string;
}

/**
 * What stands in for the actions of a type; actions left out fail. What a stand-in throws is the other actor's error; a
 * `CallboardError` that is no `ActorError` is one of Callboard's own, and arrives as it is.
 */
export type Stubs<Actions extends ActionMap> = {
  readonly [K in keyof Actions]?: (
    argument: ArgOf<Actions[K]>,
    target: ActorAddress,
    call: StubCall,
  ) => Awaitable<ReplyInitOf<Actions[K]>>;
};

type Stub = (argument: unknown, target: ActorAddress, call: StubCall) => unknown;

/** A call to another actor, as far as a stand-in needs to know it. @internal */
export type StubRequest = Pick<CallRequest, "target" | "action" | "payload" | "requestId">;

interface StubbedType {
  readonly actions: Map<string, { readonly def: AnyAction; readonly stub: Stub }>;
}

/** The stubbed actor types of one test kit. */
export class StubRegistry {
  readonly #types = new Map<string, StubbedType>();

  /** Sets the stand-ins of a type, in place of earlier ones. */
  set(def: Pick<ActorDef, "type" | "actions">, stubs: Readonly<Record<string, unknown>>): void {
    const actions: StubbedType["actions"] = new Map();
    for (const [name, stub] of Object.entries(stubs)) {
      const action = def.actions[name];
      if (action === undefined || typeof stub !== "function") {
        throw new TypeError(`Actor type "${def.type}" has no action "${name}" to stub with a function.`);
      }
      actions.set(action.name, { def: action, stub: stub as Stub });
    }
    this.#types.set(def.type, { actions });
  }

  /** True if there is a stand-in for an action. */
  has({ target, action }: Pick<StubRequest, "target" | "action">): boolean {
    return this.#types.get(target.type)?.actions.has(action.name) ?? false;
  }

  /** Answers a call. */
  async answer(request: StubRequest): Promise<CallOutcome> {
    const { target, action } = request;
    const stubbed = this.#types.get(target.type)?.actions.get(action.name);
    if (stubbed === undefined) {
      return failed(
        new CallboardError(
          Code.NOT_FOUND,
          this.#types.has(target.type) ? "UNKNOWN_ACTION" : "UNKNOWN_TYPE",
          `The action called "${action.name}" of ${addressText(target)}, which this test does not stub. ` +
            "Give it a stand-in with kit.stub(…).",
        ),
        false,
      );
    }
    try {
      const reply = await stubbed.stub(stubbed.def.input.decode(request.payload), target, {
        requestId: request.requestId,
      });
      return { case: "reply", value: stubbed.def.output.encode(reply) as Payload | undefined };
    } catch (error) {
      return isCallboardError(error) && !error.fromActor ? refused(error) : failed(error, true);
    }
  }
}

const RETRIES: Record<RetryAdvice, Retry> = {
  never: Retry.NEVER,
  safe: Retry.SAFE,
  "same-id": Retry.SAME_ID,
};

function refused(error: CallboardError): CallOutcome {
  return { case: "error", value: { ...errorToWire(error, false), retry: RETRIES[error.retry] } };
}

function failed(error: unknown, fromActor: boolean): CallOutcome {
  return { case: "error", value: errorToWire(error, fromActor) };
}
