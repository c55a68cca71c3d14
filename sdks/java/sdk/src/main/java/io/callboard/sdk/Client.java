package io.callboard.sdk;

import io.callboard.gateway.v1.GatewayServiceMethods;
import io.callboard.gateway.v1.GetStateRequest;
import io.callboard.gateway.v1.GetStateResponse;
import io.callboard.gateway.v1.InvokeMode;
import io.callboard.gateway.v1.InvokeRequest;
import io.callboard.gateway.v1.InvokeResponse;
import io.callboard.gateway.v1.PublishRequest;
import io.callboard.gateway.v1.PublishResponse;
import io.callboard.gateway.v1.SpawnRequest;
import io.callboard.gateway.v1.SpawnResult;
import io.callboard.gateway.v1.SubscribeRequest;
import io.callboard.sdk.internal.CallFuture;
import io.callboard.sdk.internal.ClientCore;
import io.callboard.sdk.internal.Link;
import io.callboard.sdk.internal.Replies;
import io.callboard.sdk.internal.RequestIds;
import io.callboard.sdk.internal.Wire;
import io.callboard.type.v1.Payload;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * Calls actors from outside. One client serves a whole program and all its threads; it connects when the first call needs
 * it and again whenever the connection is lost.
 *
 * <p>Each call gets a request id, which its retries share, so that an action is applied at most once however often the
 * call is sent. Calls are retried where that is safe, with backoff, inside their timeout.
 */
public final class Client implements Caller, AutoCloseable {
  private final ClientCore core;
  private final String system;
  private final Duration timeout;
  private final Schedules schedules;
  private final ActorTools actors;
  private final DeadLetters deadLetters;

  private Client(Builder from) {
    this.core = new ClientCore(Link.servers(from.servers), from.transport == Transport.STREAM);
    this.system = from.system;
    this.timeout = from.timeout;
    this.schedules = new Schedules(this::ask, system);
    this.actors = new ActorTools(this::ask, system);
    this.deadLetters = new DeadLetters(this::ask, system);
  }

  private <Q, P> P ask(MethodDescriptor<Q, P> method, Q request) {
    return ClientCore.await(core.query(method, request, timeout.toMillis()), method.getBareMethodName());
  }

  /**
   * Begins a client.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * A client with defaults: the server of CALLBOARD_SERVER, or 127.0.0.1:7070.
   *
   * @return the client
   */
  public static Client connect() {
    return builder().build();
  }

  @Override
  public <I, O> CompletableFuture<O> callAsync(
      ActorId target, Action<I, O> action, I argument, CallOptions options) {
    options.checkNow();
    CompletableFuture<InvokeResponse> reply =
        invoke(target, action, argument, options, InvokeMode.INVOKE_MODE_SYNC);
    return new CallFuture<>(reply, response -> Replies.decode(target, action, response.getPayload()));
  }

  @Override
  public <I, O> O call(ActorId target, Action<I, O> action, I argument, CallOptions options) {
    options.checkNow();
    InvokeResponse response =
        ClientCore.await(
            invoke(target, action, argument, options, InvokeMode.INVOKE_MODE_SYNC),
            target + " " + action.name());
    return Replies.decode(target, action, response.getPayload());
  }

  /**
   * Hands a call over without waiting for it to run.
   *
   * @param target whom to call
   * @param action which action
   * @param argument its argument
   * @param options how to call, and when; the timeout limits only the handing over
   * @param <I> the type of the argument
   * @return completes when the call is accepted
   */
  public <I> CompletableFuture<Accepted> tellAsync(
      ActorId target, Action<I, ?> action, I argument, CallOptions options) {
    CallOptions named = named(options);
    CompletableFuture<InvokeResponse> reply =
        invoke(target, action, argument, named, InvokeMode.INVOKE_MODE_ASYNC);
    return new CallFuture<>(reply, response -> accepted(named, response));
  }

  /**
   * Hands a call over and waits until it is accepted, but not until it has run.
   *
   * @param target whom to call
   * @param action which action
   * @param argument its argument
   * @param options how to call, and when; the timeout limits only the handing over
   * @param <I> the type of the argument
   * @return what was accepted
   * @throws CallException if it was not
   */
  public <I> Accepted tell(ActorId target, Action<I, ?> action, I argument, CallOptions options) {
    CallOptions named = named(options);
    return accepted(
        named,
        ClientCore.await(
            invoke(target, action, argument, named, InvokeMode.INVOKE_MODE_ASYNC),
            target + " " + action.name()));
  }

  /**
   * Hands a call over with default options and waits until it is accepted.
   *
   * @param target whom to call
   * @param action which action
   * @param argument its argument
   * @param <I> the type of the argument
   * @return what was accepted
   * @throws CallException if it was not
   */
  public <I> Accepted tell(ActorId target, Action<I, ?> action, I argument) {
    return tell(target, action, argument, CallOptions.DEFAULT);
  }

  /** The options with a request id, so that it is known here too: replies on streams do not repeat it. */
  private static CallOptions named(CallOptions options) {
    return options.idempotencyKey().isPresent()
        ? options
        : options.withIdempotencyKey(RequestIds.next(System.currentTimeMillis()));
  }

  private static Accepted accepted(CallOptions named, InvokeResponse response) {
    String schedule = response.getSchedule();
    return new Accepted(
        named.idempotencyKey().orElseThrow(),
        response.getDurable(),
        schedule.isEmpty() ? Optional.empty() : Optional.of(schedule));
  }

  /**
   * Says something on a channel. Completes when everybody who gets it exactly once is sure to get it.
   *
   * @param channel the channel
   * @param message what is said
   * @param options how; an idempotency key says it once, however often it is sent
   * @param <T> the type of the message
   * @return completes when it is said
   */
  public <T> CompletableFuture<Published> publishAsync(Channel<T> channel, T message, CallOptions options) {
    return new CallFuture<>(publication(channel, message, options), Client::published);
  }

  /**
   * Says something on a channel, and waits until everybody who gets it exactly once is sure to get it.
   *
   * @param channel the channel
   * @param message what is said
   * @param options how; an idempotency key says it once, however often it is sent
   * @param <T> the type of the message
   * @return who listens
   * @throws CallException if it could not be said
   */
  public <T> Published publish(Channel<T> channel, T message, CallOptions options) {
    return published(ClientCore.await(publication(channel, message, options), "publish"));
  }

  /**
   * Says something on a channel with default options.
   *
   * @param channel the channel
   * @param message what is said
   * @param <T> the type of the message
   * @return who listens
   * @throws CallException if it could not be said
   */
  public <T> Published publish(Channel<T> channel, T message) {
    return publish(channel, message, CallOptions.DEFAULT);
  }

  private <T> CompletableFuture<PublishResponse> publication(Channel<T> channel, T message, CallOptions options) {
    options.checkNow();
    long createdAtMs = createdAtMs(options);
    PublishRequest request =
        PublishRequest.newBuilder()
            .setSystem(system)
            .setChannel(channel.name())
            .setPayload(channel.codec().encode(message))
            .setRequestId(options.idempotencyKey().orElseGet(() -> RequestIds.next(createdAtMs)))
            .setCreatedAtMs(createdAtMs)
            .putAllMetadata(options.metadata())
            .build();
    return core.publish(request, timeoutMs(options), options.retry());
  }

  private static Published published(PublishResponse response) {
    return new Published(response.getRequestId(), response.getTypes());
  }

  /**
   * Hears what is said on channels from now on.
   *
   * @param channels the channels' names, 1 to 64
   * @return the subscription, which is opened in the background
   */
  public Subscription subscribe(String... channels) {
    return subscribeFrom("", channels);
  }

  /**
   * Hears what is said on channels, from where an earlier subscription to them ended.
   *
   * @param resumeToken {@link Subscription#resumeToken} of that one
   * @param channels the channels' names, 1 to 64
   * @return the subscription, which is opened in the background
   */
  public Subscription subscribeFrom(String resumeToken, String... channels) {
    SubscribeRequest request =
        SubscribeRequest.newBuilder()
            .setSystem(system)
            .addAllChannels(List.of(channels))
            .setResumeToken(resumeToken)
            .build();
    return new Subscription(core.subscribe(request), resumeToken);
  }

  /**
   * Calls that are made by the clock.
   *
   * @return the schedules of the client's system
   */
  public Schedules schedules() {
    return schedules;
  }

  /**
   * Tools for single actors: saving, deleting, going back to former states.
   *
   * @return the tools
   */
  public ActorTools actors() {
    return actors;
  }

  /**
   * Effects that could not be delivered.
   *
   * @return the dead letters of the client's system
   */
  public DeadLetters deadLetters() {
    return deadLetters;
  }

  /**
   * Reads the committed state of an actor. Needs no host and does not activate the actor.
   *
   * @param target whose
   * @param codec how the state is encoded, for example {@code CounterDef.DEFINITION.state()}
   * @param <S> the type of the state
   * @return empty if the actor never had a committed turn
   * @throws CallException if it cannot be read
   */
  public <S> Optional<StoredState<S>> getState(ActorId target, Codec<S> codec) {
    GetStateRequest request = GetStateRequest.newBuilder().setActor(Wire.actorId(target, system)).build();
    GetStateResponse response =
        ClientCore.await(core.query(GatewayServiceMethods.GET_STATE, request, timeout.toMillis()), "state of " + target);
    if (!response.getExists()) {
      return Optional.empty();
    }
    boolean none = response.getState().getContentType().isEmpty();
    S state = none ? null : codec.decode(response.getState());
    return Optional.of(new StoredState<>(state, response.getRevision(), response.getTagsMap()));
  }

  /**
   * Activates actors without calling an action.
   *
   * @param targets at most 1,000 actors
   * @throws CallException if one of them could not be activated; the others may have been
   */
  public void spawn(Collection<ActorId> targets) {
    SpawnRequest.Builder request = SpawnRequest.newBuilder();
    targets.forEach(target -> request.addActors(Wire.actorId(target, system)));
    var response =
        ClientCore.await(core.query(GatewayServiceMethods.SPAWN, request.build(), timeout.toMillis()), "spawn");
    for (SpawnResult result : response.getResultsList()) {
      if (result.hasError()) {
        throw Wire.exception(result.getError());
      }
    }
  }

  private <I> CompletableFuture<InvokeResponse> invoke(
      ActorId target, Action<I, ?> action, I argument, CallOptions options, InvokeMode mode) {
    long createdAtMs = createdAtMs(options);
    InvokeRequest.Builder request =
        InvokeRequest.newBuilder()
            .setActor(Wire.actorId(target, system))
            .setAction(action.name())
            .setRequestId(options.idempotencyKey().orElseGet(() -> RequestIds.next(createdAtMs)))
            .setCreatedAtMs(createdAtMs)
            .putAllMetadata(options.metadata())
            .setDelayMs(options.delay().toMillis())
            .setDueAtMs(options.at().map(Instant::toEpochMilli).orElse(0L))
            .setMode(mode);
    Payload payload = action.input().encode(argument);
    if (!payload.getContentType().isEmpty()) {
      request.setPayload(payload);
    }
    return core.invoke(
        request.build(), target + " " + action.name(), timeoutMs(options), options.retry());
  }

  private static long createdAtMs(CallOptions options) {
    return options.createdAt().map(Instant::toEpochMilli).orElseGet(System::currentTimeMillis);
  }

  private long timeoutMs(CallOptions options) {
    return Math.max(1, options.timeout().orElse(timeout).toMillis());
  }

  /** Closes the connection. Calls in flight fail; their outcome is not known. */
  @Override
  public void close() {
    core.close();
  }

  /** Puts a client together. */
  public static final class Builder {
    private List<String> servers = List.of();
    private String system = Wire.DEFAULT_SYSTEM;
    private Transport transport = Transport.STREAM;
    private Duration timeout = Duration.ofSeconds(30);

    private Builder() {}

    /**
     * Sets which nodes the client knows. With several, it sends to one of them, and what that one cannot answer goes on
     * to the next.
     *
     * @param servers host:port of each, or texts with several between commas; by default the environment variable
     *     CALLBOARD_SERVER, else 127.0.0.1:7070
     * @return this
     */
    public Builder server(String... servers) {
      this.servers = List.of(servers);
      return this;
    }

    /**
     * Sets the system of actors whose id names none.
     *
     * @param system {@code "default"} by default
     * @return this
     */
    public Builder system(String system) {
      this.system = Objects.requireNonNull(system, "system");
      return this;
    }

    /**
     * Sets how calls are sent.
     *
     * @param transport {@link Transport#STREAM} by default
     * @return this
     */
    public Builder transport(Transport transport) {
      this.transport = Objects.requireNonNull(transport, "transport");
      return this;
    }

    /**
     * Sets how long calls may take that do not say otherwise.
     *
     * @param timeout 30 seconds by default
     * @return this
     */
    public Builder timeout(Duration timeout) {
      this.timeout = Objects.requireNonNull(timeout, "timeout");
      return this;
    }

    /**
     * Makes the client. It connects when the first call needs it.
     *
     * @return the client
     */
    public Client build() {
      return new Client(this);
    }
  }
}
