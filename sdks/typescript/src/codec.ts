/**
 * How values become `Payload`s and back. An actor type uses one codec for its state and two for each action; the server
 * carries the payloads and, where a protobuf type is named, can show and convert them.
 */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import type { Payload } from "./gen/callboard/type/v1/type_pb.js";

/** Turns values of one type into payloads and back. `Init` is what may be given, `Value` what is read. */
export interface Codec<Value, Init = Value> {
  /** Full name of the protobuf message; empty for JSON. */
  readonly typeName: string;
  /** The descriptor of that message; undefined for JSON. */
  readonly schema: DescMessage | undefined;
  /** Makes a payload. Undefined stands for "no value". */
  encode(value: Init): Payload | undefined;
  /**
   * Reads a payload.
   *
   * @throws Error with a sentence that says what is wrong with it.
   */
  decode(payload: Payload | undefined): Value;
}

/** Media type of JSON payloads. */
export const JSON_TYPE = "application/json";
/** Media type of protobuf payloads. */
export const PROTOBUF_TYPE = "application/protobuf";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** True if the payload stands for "no value". @internal */
export function isNothing(payload: Payload | undefined): payload is undefined {
  return payload === undefined || payload.contentType === "";
}

/** True if both payloads are the same, byte for byte. @internal */
export function samePayload(a: Payload | undefined, b: Payload | undefined): boolean {
  if (isNothing(a) || isNothing(b)) {
    return isNothing(a) && isNothing(b);
  }
  return (
    a.contentType === b.contentType && a.typeUrl === b.typeUrl && Buffer.compare(a.data, b.data) === 0
  );
}

/** Builds a payload without the cost of a checked `create`. @internal */
export function payload(contentType: string, typeUrl: string, data: Uint8Array): Payload {
  return { $typeName: "callboard.type.v1.Payload", contentType, typeUrl, data };
}

/** Values as JSON text; `undefined` is "no value". */
export function jsonCodec<T>(): Codec<T> {
  return JSON_CODEC as unknown as Codec<T>;
}

const JSON_CODEC: Codec<unknown> = {
  typeName: "",
  schema: undefined,
  encode(value) {
    const text = JSON.stringify(value) as string | undefined;
    return text === undefined ? undefined : payload(JSON_TYPE, "", Buffer.from(text));
  },
  decode(from) {
    if (isNothing(from)) {
      return undefined;
    }
    if (mediaType(from.contentType) !== JSON_TYPE) {
      throw new Error(`it is ${from.contentType}, but this actor speaks ${JSON_TYPE}`);
    }
    return JSON.parse(decoder.decode(from.data)) as unknown;
  },
};

/** The value of a payload of any kind: JSON as what it says, anything else as its bytes. @internal */
export function decodeLoosely(from: Payload | undefined): unknown {
  return isNothing(from) || mediaType(from.contentType) === JSON_TYPE ? JSON_CODEC.decode(from) : from.data;
}

const codecs = new WeakMap<DescMessage, Codec<never, never>>();

/** Values as messages of one protobuf type; "no value" reads as the empty message. */
export function protobufCodec<S extends DescMessage>(
  schema: S,
): Codec<MessageShape<S>, MessageInitShape<S>> {
  type Both = Codec<MessageShape<S>, MessageInitShape<S>>;
  let codec = codecs.get(schema) as unknown as Both | undefined;
  if (codec === undefined) {
    codec = {
      typeName: schema.typeName,
      schema,
      encode: (value) =>
        payload(PROTOBUF_TYPE, schema.typeName, toBinary(schema, create(schema, value))),
      decode: (from) => decodeProtobuf(schema, from),
    };
    codecs.set(schema, codec as unknown as Codec<never, never>);
  }
  return codec;
}

function decodeProtobuf<S extends DescMessage>(
  schema: S,
  from: Payload | undefined,
): MessageShape<S> {
  if (isNothing(from)) {
    return create(schema);
  }
  if (mediaType(from.contentType) !== PROTOBUF_TYPE) {
    throw new Error(`it is ${from.contentType}, but ${schema.typeName} travels as ${PROTOBUF_TYPE}`);
  }
  const named = from.typeUrl.slice(from.typeUrl.lastIndexOf("/") + 1);
  if (named !== "" && named !== schema.typeName) {
    throw new Error(`it is a ${named}, but ${schema.typeName} is needed`);
  }
  return fromBinary(schema, from.data);
}

function mediaType(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
