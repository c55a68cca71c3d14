package io.callboard.sdk.internal;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.protobuf.ByteString;
import com.google.protobuf.Value;
import io.callboard.type.v1.Payload;

/** JSON that came as a protobuf value. */
public final class JsonValues {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private JsonValues() {}

  /**
   * The same as a JSON payload.
   *
   * @param value the value
   * @return the payload
   */
  public static Payload payload(Value value) {
    return Payload.newBuilder()
        .setContentType("application/json")
        .setData(ByteString.copyFromUtf8(node(value).toString()))
        .build();
  }

  private static JsonNode node(Value value) {
    return switch (value.getKindCase()) {
      case BOOL_VALUE -> JSON.booleanNode(value.getBoolValue());
      case STRING_VALUE -> JSON.textNode(value.getStringValue());
      case NUMBER_VALUE -> number(value.getNumberValue());
      case LIST_VALUE -> {
        ArrayNode array = JSON.arrayNode();
        value.getListValue().getValuesList().forEach(one -> array.add(node(one)));
        yield array;
      }
      case STRUCT_VALUE -> {
        ObjectNode object = JSON.objectNode();
        value.getStructValue().getFieldsMap().forEach((name, one) -> object.set(name, node(one)));
        yield object;
      }
      default -> JSON.nullNode();
    };
  }

  /** Whole numbers without a fraction, so that they can be read as integers. */
  private static JsonNode number(double number) {
    boolean whole = number == Math.rint(number) && Math.abs(number) <= 0x1p53;
    return whole ? JSON.numberNode((long) number) : JSON.numberNode(number);
  }
}
