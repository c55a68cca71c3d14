package io.callboard.sdk;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import io.callboard.type.v1.Payload;
import java.io.IOException;
import java.lang.reflect.Type;

/** The codecs that come with the SDK. */
public final class Codecs {
  private static final String PROTOBUF = "application/protobuf";
  private static final String JSON = "application/json";
  private static final ObjectMapper MAPPER =
      new ObjectMapper()
          // State outlives the code that wrote it, so fields that the code no longer knows are skipped.
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .disable(SerializationFeature.FAIL_ON_EMPTY_BEANS)
          // Equal states must have equal bytes.
          .enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS)
          .findAndRegisterModules();

  private Codecs() {}

  /**
   * Protobuf messages of one type.
   *
   * @param prototype the type's default instance
   * @param <M> the type
   * @return the codec
   */
  public static <M extends Message> Codec<M> protobuf(M prototype) {
    return new ProtobufCodec<>(prototype);
  }

  /**
   * Values as JSON, by Jackson: records, lists, maps, strings, numbers, beans.
   *
   * @param type the type; {@code Void.class} for "no value"
   * @param <T> the type
   * @return the codec
   */
  public static <T> Codec<T> json(Class<T> type) {
    return new JsonCodec<>(MAPPER.constructType(type), type.isRecord() || type == Void.class);
  }

  /**
   * Values of a generic type as JSON, by Jackson.
   *
   * @param type the type, for example from a Jackson {@code TypeReference}
   * @param <T> the type
   * @return the codec
   */
  public static <T> Codec<T> json(Type type) {
    return new JsonCodec<>(MAPPER.constructType(type), false);
  }

  private static final class ProtobufCodec<M extends Message> implements Codec<M> {
    private final M prototype;
    private final Parser<M> parser;
    private final String typeName;

    @SuppressWarnings("unchecked") // A message's parser parses messages of its own type.
    ProtobufCodec(M prototype) {
      this.prototype = prototype;
      this.parser = (Parser<M>) prototype.getParserForType();
      this.typeName = prototype.getDescriptorForType().getFullName();
    }

    @Override
    public Payload encode(M value) {
      if (value == null) {
        throw new IllegalArgumentException("a " + typeName + " is needed, but the value is null");
      }
      return Payload.newBuilder()
          .setContentType(PROTOBUF)
          .setTypeUrl(typeName)
          .setData(value.toByteString())
          .build();
    }

    @Override
    public M decode(Payload payload) {
      if (payload.getContentType().isEmpty()) {
        return prototype;
      }
      if (!payload.getContentType().equals(PROTOBUF)) {
        throw new IllegalArgumentException(
            "a protobuf " + typeName + " is needed, but the content type is " + payload.getContentType());
      }
      String given = payload.getTypeUrl().substring(payload.getTypeUrl().lastIndexOf('/') + 1);
      if (!given.isEmpty() && !given.equals(typeName)) {
        throw new IllegalArgumentException("a " + typeName + " is needed, but the payload holds a " + given);
      }
      try {
        return parser.parseFrom(payload.getData());
      } catch (InvalidProtocolBufferException e) {
        throw new IllegalArgumentException("the bytes are not a " + typeName + ": " + e.getMessage(), e);
      }
    }

    @Override
    public String typeName() {
      return typeName;
    }

    @Override
    public boolean mutable() {
      return false;
    }
  }

  private static final class JsonCodec<T> implements Codec<T> {
    private final JavaType type;
    private final boolean shallow;

    JsonCodec(JavaType type, boolean shallow) {
      this.type = type;
      this.shallow = shallow;
    }

    @Override
    public Payload encode(T value) {
      if (value == null && type.hasRawClass(Void.class)) {
        return Payload.getDefaultInstance();
      }
      try {
        ByteString data = ByteString.copyFrom(MAPPER.writeValueAsBytes(value));
        return Payload.newBuilder().setContentType(JSON).setData(data).build();
      } catch (IOException e) {
        throw new IllegalArgumentException("the value cannot be written as JSON: " + e.getMessage(), e);
      }
    }

    @Override
    public T decode(Payload payload) {
      if (payload.getContentType().isEmpty() || type.hasRawClass(Void.class)) {
        return null;
      }
      if (!payload.getContentType().equals(JSON)) {
        throw new IllegalArgumentException("JSON is needed, but the content type is " + payload.getContentType());
      }
      try {
        return MAPPER.readValue(payload.getData().newInput(), type);
      } catch (IOException e) {
        throw new IllegalArgumentException(
            "the bytes are not JSON for " + type.getRawClass().getSimpleName() + ": " + firstLine(e), e);
      }
    }

    @Override
    public String typeName() {
      return "";
    }

    @Override
    public boolean mutable() {
      // A record may hold lists and maps; only its absence of fields would make it immutable throughout.
      return !(shallow && immutableComponents());
    }

    private boolean immutableComponents() {
      if (type.hasRawClass(Void.class)) {
        return true;
      }
      for (var component : type.getRawClass().getRecordComponents()) {
        Class<?> raw = component.getType();
        if (!raw.isPrimitive() && raw != String.class && !Number.class.isAssignableFrom(raw) && !raw.isEnum()) {
          return false;
        }
      }
      return true;
    }

    private static String firstLine(IOException e) {
      String message = String.valueOf(e.getMessage());
      int end = message.indexOf('\n');
      return end < 0 ? message : message.substring(0, end);
    }
  }
}
