package io.callboard.sdk.internal;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.RetryAdvice;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Reads the errors of unary methods and of streams as a whole. */
public final class Statuses {
  private static final String DOMAIN = "callboard.io";
  private static final String RETRY = "retry";
  private static final String FROM_ACTOR = "from_actor";

  private Statuses() {}

  /**
   * The error that a gRPC status stands for. Without Callboard's details it is the transport's own: whether the call
   * ran is then not known.
   *
   * @param status the status
   * @param trailers its trailers; null if there are none
   * @return the exception, not thrown
   */
  public static CallException exception(Status status, Metadata trailers) {
    ErrorCode code = ErrorCode.of(status.getCode().value());
    ErrorInfo info = null;
    Duration retryAfter = Duration.ZERO;
    boolean retryInfo = false;
    List<Any> details = new ArrayList<>();
    for (Any detail : StatusProto.fromStatusAndTrailers(status, trailers).getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class) && DOMAIN.equals(detail.unpack(ErrorInfo.class).getDomain())) {
          info = detail.unpack(ErrorInfo.class);
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
          retryInfo = true;
        } else {
          details.add(detail);
        }
      } catch (InvalidProtocolBufferException e) {
        // A detail that cannot be read explains nothing; the status itself still does.
        details.add(detail);
      }
    }
    if (info == null) {
      return plain(status, code);
    }
    Map<String, String> facts = new HashMap<>(info.getMetadataMap());
    String retry = facts.remove(RETRY);
    boolean fromActor = Boolean.parseBoolean(facts.remove(FROM_ACTOR));
    String message = String.valueOf(status.getDescription());
    if (fromActor) {
      return new ActorError(code, info.getReason(), message, facts, details);
    }
    RetryAdvice advice = advice(retry, retryInfo);
    return new CallException(code, info.getReason(), message, advice, retryAfter, facts, details);
  }

  /**
   * The error of each call that was under way on a stream which ended. Whatever ended the stream, the calls may have
   * run, and may be sent again with their ids; only a refusal of the client as such is final.
   *
   * @param status how the stream ended
   * @param trailers its trailers
   * @return the exception, not thrown
   */
  static CallException streamLost(Status status, Metadata trailers) {
    CallException cause = exception(status, trailers);
    return switch (status.getCode()) {
      case UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED -> cause;
      default ->
          new CallException(
              ErrorCode.UNAVAILABLE,
              "CONNECTION_LOST",
              "the stream to the server ended: " + cause.getMessage(),
              RetryAdvice.SAME_ID,
              cause.retryAfter(),
              cause.metadata(),
              List.of());
    };
  }

  private static RetryAdvice advice(String retry, boolean retryInfo) {
    if (retry == null) {
      return retryInfo ? RetryAdvice.SAME_ID : RetryAdvice.NEVER;
    }
    return switch (retry) {
      case "RETRY_SAFE", "SAFE", "safe" -> RetryAdvice.SAFE;
      case "RETRY_SAME_ID", "SAME_ID", "same_id" -> RetryAdvice.SAME_ID;
      default -> RetryAdvice.NEVER;
    };
  }

  private static CallException plain(Status status, ErrorCode code) {
    String cause = status.getCause() == null ? "" : " (" + rootMessage(status.getCause()) + ")";
    String text = status.isOk() ? "the server ended it" : code.name();
    String message = (status.getDescription() == null ? text : status.getDescription()) + cause;
    RetryAdvice advice =
        switch (status.getCode()) {
          // A proxy or a lost connection; the call may have run.
          case UNAVAILABLE, OK, UNKNOWN, CANCELLED, INTERNAL -> RetryAdvice.SAME_ID;
          default -> RetryAdvice.NEVER;
        };
    ErrorCode known = status.isOk() || advice == RetryAdvice.SAME_ID ? ErrorCode.UNAVAILABLE : code;
    String reason = known == ErrorCode.UNAVAILABLE ? "CONNECTION_LOST" : code.name();
    return new CallException(known, reason, message, advice);
  }

  private static String rootMessage(Throwable cause) {
    Throwable root = cause;
    while (root.getCause() != null) {
      root = root.getCause();
    }
    return String.valueOf(root.getMessage());
  }
}
