package io.callboard.sdk;

import java.time.Duration;
import java.util.function.Supplier;

/**
 * An actor without protos: lambdas over records, with state, arguments and replies as JSON.
 *
 * @param <S> the type of the state
 */
public final class JsonActor<S> implements Actor<S> {
  private final ActorDefinition<JsonActor<S>, S> definition;
  private final ActorSettings settings;

  private JsonActor(ActorDefinition<JsonActor<S>, S> definition, ActorSettings settings) {
    this.definition = definition;
    this.settings = settings;
  }

  /**
   * Begins an actor type.
   *
   * @param name the type's name within its system
   * @param state the type of the state, best a record
   * @param <S> the type of the state
   * @return a builder
   */
  public static <S> Builder<S> define(String name, Class<S> state) {
    return new Builder<>(ActorDefinition.builder(name, Codecs.json(state)));
  }

  @Override
  public ActorDefinition<JsonActor<S>, S> definition() {
    return definition;
  }

  @Override
  public ActorSettings settings() {
    return settings;
  }

  /**
   * Runs an action that may change the state.
   *
   * @param <S> the type of the state
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   */
  @FunctionalInterface
  public interface Handler<S, I, O> {
    /**
     * Runs the action.
     *
     * @param context the turn
     * @param argument the argument; null if there is none
     * @return the reply
     * @throws Exception if the action fails
     */
    Reply<O> handle(Context<S> context, I argument) throws Exception;
  }

  /**
   * Runs an action that only reads.
   *
   * @param <S> the type of the state
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   */
  @FunctionalInterface
  public interface ReadHandler<S, I, O> {
    /**
     * Runs the action.
     *
     * @param context the turn
     * @param argument the argument; null if there is none
     * @return the reply
     * @throws Exception if the action fails
     */
    Reply<O> handle(ReadContext<S> context, I argument) throws Exception;
  }

  /**
   * Runs before anything else in each life of an actor.
   *
   * @param <S> the type of the state
   */
  @FunctionalInterface
  public interface Init<S> {
    /**
     * Prepares the actor. Changes of the state are committed like those of any turn.
     *
     * @param context the turn
     * @throws Exception if the actor cannot live
     */
    void init(Context<S> context) throws Exception;
  }

  /**
   * Puts an actor type together.
   *
   * @param <S> the type of the state
   */
  public static final class Builder<S> {
    private final ActorDefinition.Builder<JsonActor<S>, S> definition;
    private ActorSettings settings = ActorSettings.NONE;

    private Builder(ActorDefinition.Builder<JsonActor<S>, S> definition) {
      this.definition = definition;
    }

    /**
     * Sets the state of an actor that has none yet. Without it that state is null.
     *
     * @param initial makes it
     * @return this
     */
    public Builder<S> initial(Supplier<S> initial) {
      definition.initial(actor -> initial.get());
      return this;
    }

    /**
     * Runs code before anything else in each life of an actor.
     *
     * @param init the code
     * @return this
     */
    public Builder<S> init(Init<S> init) {
      definition.action(
          Action.json("init", Void.class, Void.class),
          (actor, context, none) -> {
            init.init(context);
            return Reply.of(null);
          });
      return this;
    }

    /**
     * Adds an action that may change the state.
     *
     * @param action the action
     * @param handler the code that runs it
     * @param <I> the type of the argument
     * @param <O> the type of the reply
     * @return this
     */
    public <I, O> Builder<S> action(Action<I, O> action, Handler<S, I, O> handler) {
      definition.action(action, (actor, context, argument) -> handler.handle(context, argument));
      return this;
    }

    /**
     * Adds an action that only reads.
     *
     * @param action the action
     * @param handler the code that runs it
     * @param <I> the type of the argument
     * @param <O> the type of the reply
     * @return this
     */
    public <I, O> Builder<S> readOnly(Action<I, O> action, ReadHandler<S, I, O> handler) {
      definition.readOnly(action, (actor, context, argument) -> handler.handle(context, argument));
      return this;
    }

    /**
     * Sets what kind of life the actors lead.
     *
     * @param kind {@link Kind#UNNAMED} by default
     * @return this
     */
    public Builder<S> kind(Kind kind) {
      definition.kind(kind);
      return this;
    }

    /**
     * Sets what happens to the state.
     *
     * @param durability {@link Durability#DURABLE} by default
     * @return this
     */
    public Builder<S> durability(Durability durability) {
      definition.durability(durability);
      return this;
    }

    /**
     * Sets how long an actor may stay without a call before it is deactivated.
     *
     * @param idleTimeout zero for the server's default
     * @return this
     */
    public Builder<S> idleTimeout(Duration idleTimeout) {
      definition.idleTimeout(idleTimeout);
      return this;
    }

    /**
     * Sets how long one turn may take.
     *
     * @param turnTimeout zero for the server's default
     * @return this
     */
    public Builder<S> turnTimeout(Duration turnTimeout) {
      definition.turnTimeout(turnTimeout);
      return this;
    }

    /**
     * Runs an action at a fixed interval while the actor is in memory.
     *
     * @param action the action; it gets no argument
     * @param interval at least 10 ms
     * @return this
     */
    public Builder<S> timer(Action<?, ?> action, Duration interval) {
      settings = settings.withTimer(action, interval);
      return this;
    }

    /**
     * Gives the actors what is said on a channel.
     *
     * @param channel the channel
     * @param action gets the messages
     * @param deliver which actors get them
     * @param <T> the type of the messages
     * @return this
     */
    public <T> Builder<S> channel(Channel<T> channel, Action<T, ?> action, Deliver deliver) {
      settings = settings.withChannel(channel, action, deliver);
      return this;
    }

    /**
     * Gives the actors what is said on a channel.
     *
     * @param channel the channel
     * @param action gets the messages
     * @param <T> the type of the messages
     * @return this
     */
    public <T> Builder<S> channel(Channel<T> channel, Action<T, ?> action) {
      settings = settings.withChannel(channel, action);
      return this;
    }

    /**
     * Gives the action {@code receive} of the actors what is said on a channel.
     *
     * @param channel the channel
     * @return this
     */
    public Builder<S> channel(Channel<?> channel) {
      settings = settings.withChannel(channel);
      return this;
    }

    /**
     * Makes the type a pooled one; see {@link ActorSettings#withPool}.
     *
     * @param min instances that are always in memory
     * @param max instances that run at a time in the whole cluster; 0 for the server's default
     * @return this
     */
    public Builder<S> pooled(int min, int max) {
      settings = settings.withPool(min, max);
      return this;
    }

    /**
     * Keeps committed revisions, to be read and restored.
     *
     * @param revisions how many; 0 for as many as the age allows
     * @param age for how long; zero for as long as the number allows
     * @return this
     */
    public Builder<S> history(int revisions, Duration age) {
      settings = settings.withHistory(revisions, age);
      return this;
    }

    /**
     * Ends the definition.
     *
     * @return the actor type, ready for a host or a test kit
     * @throws IllegalStateException if two actions have the same name, or a timer or channel names none
     */
    public JsonActor<S> build() {
      ActorDefinition<JsonActor<S>, S> built = definition.build();
      settings.check(built);
      return new JsonActor<>(built, settings);
    }
  }
}
