package io.callboard.sdk.internal;

import io.callboard.sdk.ActorDefinition;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.ActorSettings;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.RetryAdvice;
import io.callboard.type.v1.ActionDefinition;
import io.callboard.type.v1.ActorId;
import io.callboard.type.v1.ActorTypeDefinition;
import io.callboard.type.v1.CallError;
import io.callboard.type.v1.ChannelSubscription;
import io.callboard.type.v1.Deliver;
import io.callboard.type.v1.Durability;
import io.callboard.type.v1.Kind;
import io.callboard.type.v1.Retry;
import io.callboard.type.v1.TimerDefinition;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/** Translates between the SDK's own types and the protocol's. The only place that does. */
public final class Wire {
  /** The system of calls and hosts that name none. */
  public static final String DEFAULT_SYSTEM = "default";

  private Wire() {}

  /**
   * An actor id as the protocol has it.
   *
   * @param id the id
   * @param system the system if the id names none
   * @return the message
   */
  public static ActorId actorId(io.callboard.sdk.ActorId id, String system) {
    return ActorId.newBuilder()
        .setSystem(id.system().isEmpty() ? system : id.system())
        .setType(id.type())
        .setKey(id.key())
        .build();
  }

  /**
   * An actor id as users see it.
   *
   * @param id the message
   * @return the id
   */
  public static io.callboard.sdk.ActorId actorId(ActorId id) {
    return new io.callboard.sdk.ActorId(id.getSystem(), id.getType(), id.getKey());
  }

  /**
   * A time that may be none.
   *
   * @param unixMs milliseconds since 1970; 0 for none
   * @return the time
   */
  public static Optional<Instant> time(long unixMs) {
    return unixMs == 0 ? Optional.empty() : Optional.of(Instant.ofEpochMilli(unixMs));
  }

  /**
   * An error as callers see it.
   *
   * @param error the message
   * @return the exception, not thrown
   */
  public static CallException exception(CallError error) {
    ErrorCode code = ErrorCode.of(error.getCode());
    if (error.getFromActor()) {
      return new ActorError(
          code, error.getReason(), error.getMessage(), error.getMetadataMap(), error.getDetailsList());
    }
    return new CallException(
        code,
        error.getReason(),
        error.getMessage(),
        retry(error.getRetry()),
        Duration.ofMillis(Integer.toUnsignedLong(error.getRetryAfterMs())),
        error.getMetadataMap(),
        error.getDetailsList());
  }

  /**
   * An exception that ends a turn, as the protocol has it. A failed call that the action lets pass keeps its code and
   * reason, and becomes the action's own outcome.
   *
   * @param error the exception
   * @return the message
   */
  public static CallError actionError(CallException error) {
    return CallError.newBuilder()
        .setCode(error.code().number())
        .setReason(error.reason())
        .setMessage(String.valueOf(error.getMessage()))
        .setRetry(Retry.RETRY_NEVER)
        .setFromActor(true)
        .putAllMetadata(error.metadata())
        .addAllDetails(error.details())
        .build();
  }

  /**
   * An error of the SDK itself.
   *
   * @param code the kind of failure
   * @param reason the stable reason
   * @param message for people
   * @return the message
   */
  public static CallError refusal(ErrorCode code, String reason, String message) {
    return CallError.newBuilder()
        .setCode(code.number())
        .setReason(reason)
        .setMessage(message)
        .setRetry(Retry.RETRY_NEVER)
        .build();
  }

  private static RetryAdvice retry(Retry retry) {
    return switch (retry) {
      case RETRY_SAFE -> RetryAdvice.SAFE;
      case RETRY_SAME_ID -> RetryAdvice.SAME_ID;
      default -> RetryAdvice.NEVER;
    };
  }

  /**
   * A type as a host offers it.
   *
   * @param type the definition
   * @param settings what it asks for beyond the running of calls
   * @return the message
   */
  public static ActorTypeDefinition definition(ActorDefinition<?, ?> type, ActorSettings settings) {
    ActorTypeDefinition.Builder out =
        ActorTypeDefinition.newBuilder()
            .setName(type.name())
            .setKind(KINDS.get(type.kind()))
            .setDurability(DURABILITIES.get(type.durability()))
            .setStateType(type.state().typeName())
            .setService(type.service())
            .setIdleTimeoutMs(type.idleTimeout().toMillis())
            .setSnapshotIntervalMs(type.snapshotInterval().toMillis())
            .setTurnTimeoutMs(type.turnTimeout().toMillis())
            .setMailboxLimit(type.mailboxLimit())
            .setShards(type.shards())
            .setSpeculationOff(type.speculationOff());
    for (ActorDefinition.Binding<?, ?, ?, ?> binding : type.bindings()) {
      out.addActions(
          ActionDefinition.newBuilder()
              .setName(binding.action().name())
              .setInputType(binding.action().input().typeName())
              .setOutputType(binding.action().output().typeName())
              .setReadOnly(binding.readOnly())
              .setSpeculationOff(binding.speculationOff()));
    }
    if (type.pool() != null) {
      addPool(out, type.pool());
    }
    addSettings(out, settings);
    return out.build();
  }

  private static void addPool(ActorTypeDefinition.Builder out, ActorSettings.Pool pool) {
    out.setKind(Kind.KIND_POOLED).setPoolMin(pool.min()).setPoolMax(pool.max());
  }

  private static void addSettings(ActorTypeDefinition.Builder out, ActorSettings settings) {
    for (ActorSettings.Timer timer : settings.timers()) {
      out.addTimers(
          TimerDefinition.newBuilder().setAction(timer.action()).setIntervalMs(timer.interval().toMillis()));
    }
    for (ActorSettings.Subscribed subscribed : settings.subscriptions()) {
      out.addSubscriptions(
          ChannelSubscription.newBuilder()
              .setChannel(subscribed.channel())
              .setAction(subscribed.action())
              .setDeliver(DELIVERS.get(subscribed.deliver())));
    }
    if (settings.pool() != null) {
      addPool(out, settings.pool());
    }
    if (out.getKind() == Kind.KIND_POOLED) {
      out.setDurability(Durability.DURABILITY_UNSPECIFIED);
    }
    if (settings.history() != null) {
      out.setHistoryRevisions(settings.history().revisions())
          .setHistoryAgeMs(settings.history().age().toMillis());
    }
  }

  private static final Map<io.callboard.sdk.Kind, Kind> KINDS =
      Map.of(
          io.callboard.sdk.Kind.UNNAMED, Kind.KIND_UNNAMED,
          io.callboard.sdk.Kind.NAMED, Kind.KIND_NAMED,
          io.callboard.sdk.Kind.POOLED, Kind.KIND_POOLED);

  private static final Map<io.callboard.sdk.Deliver, Deliver> DELIVERS =
      Map.of(
          io.callboard.sdk.Deliver.DEFAULT, Deliver.DELIVER_UNSPECIFIED,
          io.callboard.sdk.Deliver.ACTIVE, Deliver.DELIVER_ACTIVE,
          io.callboard.sdk.Deliver.EVERY, Deliver.DELIVER_EVERY);

  private static final Map<io.callboard.sdk.Durability, Durability> DURABILITIES =
      Map.of(
          io.callboard.sdk.Durability.DURABLE, Durability.DURABILITY_DURABLE,
          io.callboard.sdk.Durability.SNAPSHOT, Durability.DURABILITY_SNAPSHOT,
          io.callboard.sdk.Durability.VOLATILE, Durability.DURABILITY_VOLATILE);
}
