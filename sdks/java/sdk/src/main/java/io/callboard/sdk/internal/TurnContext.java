package io.callboard.sdk.internal;

import io.callboard.host.v1.Workflow;
import io.callboard.sdk.Action;
import io.callboard.sdk.ActorAction;
import io.callboard.sdk.ActorCall;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.CancellationToken;
import io.callboard.sdk.Channel;
import io.callboard.sdk.Codec;
import io.callboard.sdk.Context;
import io.callboard.sdk.FencingToken;
import io.callboard.sdk.Reply;
import io.callboard.type.v1.Payload;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;

/** The context of one turn. Ends with it: later uses fail, because their effect would be lost. */
public final class TurnContext<S> implements Context<S> {
  private final TurnInput input;
  private final boolean readOnly;
  private final AtomicInteger callIndex = new AtomicInteger();
  private final Codec<S> codec;
  private final boolean mutable;
  private S state;
  private boolean handedOut;
  private boolean replaced;
  private Map<String, String> changedTags;
  private final TurnOutputs outputs;
  /** How calls are named: PREFIX/I. Null for by the turn alone. */
  private String callPrefix;
  private int namedCalls;
  private Before<S> before;
  private volatile boolean ended;

  TurnContext(TurnInput input, S state, boolean readOnly, Codec<S> codec) {
    this.input = input;
    this.state = state;
    this.readOnly = readOnly;
    this.codec = codec;
    this.mutable = codec.mutable();
    this.outputs = new TurnOutputs(input);
  }

  /** Whether the action has set the state. */
  boolean replaced() {
    return replaced;
  }

  /** Whether the action has had a state in its hands that it could change in place. */
  boolean exposed() {
    return handedOut && mutable;
  }

  S finalState() {
    return state;
  }

  /** The tags after the turn; null if unchanged. */
  Map<String, String> finalTags() {
    return changedTags == null || changedTags.equals(input.tags()) ? null : changedTags;
  }

  void end() {
    ended = true;
  }

  TurnOutputs outputs() {
    return outputs;
  }

  // === the steps of sagas ===

  /** What the turn had done when a step began. */
  private record Before<S>(
      S state, Payload bytes, boolean replaced, Map<String, String> tags, Workflow.Builder outputs) {}

  /**
   * Begins a step of a saga. Calls of the turn are then named KEY/I, whichever turn makes them.
   *
   * @param key names the step
   */
  public void beginStep(String key) {
    checkWritable();
    // A value that the step may change in place is kept as bytes.
    Payload bytes = mutable && state != null ? codec.encode(state) : null;
    Map<String, String> tags = changedTags == null ? null : new HashMap<>(changedTags);
    before = new Before<>(state, bytes, replaced, tags, outputs.copy());
    callPrefix = key;
    namedCalls = 0;
  }

  /** Ends a step that went well. Fails if the state that it left cannot be encoded. */
  public void endStep() {
    if (state != null) {
      codec.encode(state);
    }
    callPrefix = null;
    before = null;
  }

  /** Ends a step that failed: undoes what it did to state and tags, and drops what it set going. */
  public void undoStep() {
    state = before.bytes() == null ? before.state() : codec.decode(before.bytes());
    replaced = before.replaced();
    changedTags = before.tags();
    outputs.reset(before.outputs());
    callPrefix = null;
    before = null;
  }

  private void checkOpen() {
    if (ended) {
      throw new IllegalStateException("the turn has ended; its context cannot be used any longer");
    }
  }

  private void checkWritable() {
    checkOpen();
    if (readOnly) {
      throw new IllegalStateException(input.turn().getAction() + " only reads and cannot change the actor");
    }
  }

  @Override
  public ActorId self() {
    return input.self();
  }

  @Override
  public Optional<ActorId> caller() {
    return input.turn().hasCaller() ? Optional.of(Wire.actorId(input.turn().getCaller())) : Optional.empty();
  }

  @Override
  public Map<String, String> metadata() {
    return input.turn().getMetadataMap();
  }

  @Override
  public Instant deadline() {
    return input.deadline();
  }

  @Override
  public CancellationToken cancellation() {
    return input.token();
  }

  @Override
  public String requestId() {
    return input.turn().getRequestId();
  }

  @Override
  public String idempotencyKey() {
    return callPrefix == null ? requestId() : callPrefix;
  }

  @Override
  public Instant createdAt() {
    return Instant.ofEpochMilli(input.turn().getCreatedAtMs());
  }

  @Override
  public int attempt() {
    return input.turn().getAttempt();
  }

  @Override
  public FencingToken fencingToken() {
    return new FencingToken(input.epoch(), input.turn().getRevision());
  }

  @Override
  public Instant now() {
    return input.clock().instant();
  }

  @Override
  public System.Logger log() {
    return new TurnLogger(input);
  }

  @Override
  public Map<String, String> tags() {
    return Collections.unmodifiableMap(changedTags == null ? input.tags() : changedTags);
  }

  @Override
  public S state() {
    checkOpen();
    handedOut = true;
    return state;
  }

  @Override
  public void setState(S next) {
    checkWritable();
    if (next == null) {
      throw new IllegalArgumentException("the state cannot be set to null");
    }
    replaced = true;
    state = next;
  }

  @Override
  public void setTag(String name, String value) {
    checkWritable();
    if (changedTags == null) {
      changedTags = new HashMap<>(input.tags());
    }
    changedTags.put(name, value);
  }

  @Override
  public void removeTag(String name) {
    checkWritable();
    if (changedTags == null) {
      changedTags = new HashMap<>(input.tags());
    }
    changedTags.remove(name);
  }

  @Override
  public void tell(ActorCall<?, ?> call) {
    checkWritable();
    outputs.tell(call, Duration.ZERO, null);
  }

  @Override
  public void tell(ActorCall<?, ?> call, Duration delay) {
    checkWritable();
    outputs.tell(call, delay, null);
  }

  @Override
  public void tell(ActorCall<?, ?> call, Instant at) {
    checkWritable();
    outputs.tell(call, Duration.ZERO, Objects.requireNonNull(at, "at"));
  }

  @Override
  public <T> void broadcast(Channel<T> channel, T message, Map<String, String> metadata) {
    checkWritable();
    outputs.broadcast(channel, message, metadata);
  }

  @Override
  public <T> Reply<T> pipe(ActorCall<?, T> call) {
    checkWritable();
    return Reply.pipe(call);
  }

  @Override
  public <T> Reply<T> forward(ActorAction<?, T> action) {
    checkWritable();
    return Reply.forward(action);
  }

  @Override
  public void checkpoint() {
    checkWritable();
    outputs.checkpoint();
  }

  @Override
  public void deactivate() {
    checkWritable();
    outputs.deactivate();
  }

  @Override
  public <I, O> CompletableFuture<O> callAsync(
      ActorId target, Action<I, O> action, I argument, CallOptions options) {
    return send(target, action, argument, options)
        .handleAsync(
            (reply, error) -> {
              if (error != null) {
                throw error instanceof CompletionException c ? c : new CompletionException(error);
              }
              return Replies.decode(target, action, reply);
            },
            input.executor());
  }

  @Override
  public <I, O> O call(ActorId target, Action<I, O> action, I argument, CallOptions options) {
    CompletableFuture<Payload> reply = send(target, action, argument, options);
    try {
      return Replies.decode(target, action, reply.get());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CancellationException("interrupted while waiting for " + target + " " + action.name());
    } catch (ExecutionException e) {
      throw unwrapped(e.getCause());
    }
  }

  private <I, O> CompletableFuture<Payload> send(
      ActorId target, Action<I, O> action, I argument, CallOptions options) {
    checkOpen();
    if (options.idempotencyKey().isPresent() || options.createdAt().isPresent()) {
      throw new IllegalArgumentException(
          "a call inside a turn gets its id from the turn; do not pass an idempotency key");
    }
    if (options.at().isPresent() || !options.delay().isZero()) {
      throw new IllegalArgumentException("a call whose reply is waited for has no delay and no time; tell it");
    }
    input.token().throwIfCancelled();
    ActorId full =
        target.system().isEmpty() ? new ActorId(self().system(), target.type(), target.key()) : target;
    return input
        .calls()
        .call(
            new CallPort.TurnCallOut(
                callIndex.getAndIncrement(),
                full,
                action.name(),
                action.input().encode(argument),
                options.timeout().orElse(Duration.ZERO),
                TurnOutputs.traced(input, options.metadata()),
                callPrefix == null ? "" : callPrefix + "/" + namedCalls++));
  }

  private static RuntimeException unwrapped(Throwable cause) {
    // A fresh exception would lose the type; the trace of the waiting thread is of more use than the loop's.
    cause.addSuppressed(new IllegalStateException("while waiting for the reply inside a turn"));
    if (cause instanceof RuntimeException unchecked) {
      return unchecked;
    }
    return new CompletionException(cause);
  }
}
