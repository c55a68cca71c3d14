package io.callboard.sdk;

import com.google.protobuf.Descriptors.FileDescriptor;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Function;

/**
 * An actor type: what its actors are called, how they live, and which actions they have. Generated code makes one for
 * each actor service.
 *
 * @param <A> the class of the objects that run the actions
 * @param <S> the type of the state
 */
public final class ActorDefinition<A, S> {
  private final Builder<A, S> from;
  private final Map<String, Binding<A, S, ?, ?>> bindings;

  private ActorDefinition(Builder<A, S> from) {
    this.from = from;
    this.bindings = Collections.unmodifiableMap(new LinkedHashMap<>(from.bindings));
  }

  /**
   * Begins a definition.
   *
   * @param name the type's name within its system
   * @param state how the state is encoded
   * @param <A> the class of the objects that run the actions
   * @param <S> the type of the state
   * @return a builder
   */
  public static <A, S> Builder<A, S> builder(String name, Codec<S> state) {
    return new Builder<>(name, state);
  }

  /**
   * Runs an action that may change the state.
   *
   * @param <A> the class of the object that runs it
   * @param <S> the type of the state
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   */
  @FunctionalInterface
  public interface Handler<A, S, I, O> {
    /**
     * Runs the action.
     *
     * @param actor the object that runs it
     * @param context the turn
     * @param argument the argument
     * @return the reply; null is "no value"
     * @throws Exception if the action fails
     */
    Reply<O> handle(A actor, Context<S> context, I argument) throws Exception;
  }

  /**
   * Runs an action that only reads.
   *
   * @param <A> the class of the object that runs it
   * @param <S> the type of the state
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   */
  @FunctionalInterface
  public interface ReadHandler<A, S, I, O> {
    /**
     * Runs the action.
     *
     * @param actor the object that runs it
     * @param context the turn
     * @param argument the argument
     * @return the reply; null is "no value"
     * @throws Exception if the action fails
     */
    Reply<O> handle(A actor, ReadContext<S> context, I argument) throws Exception;
  }

  /**
   * An action together with the code that runs it.
   *
   * @param action the action
   * @param handler the code
   * @param readOnly whether it only reads
   * @param speculationOff whether it never runs on state that is not yet committed
   * @param <A> the class of the object that runs it
   * @param <S> the type of the state
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   */
  public record Binding<A, S, I, O>(
      Action<I, O> action, Handler<A, S, I, O> handler, boolean readOnly, boolean speculationOff) {}

  /**
   * The type's name.
   *
   * @return the name within its system
   */
  public String name() {
    return from.name;
  }

  /**
   * What kind of life its actors lead.
   *
   * @return the kind
   */
  public Kind kind() {
    return from.kind;
  }

  /**
   * What happens to their state.
   *
   * @return the durability
   */
  public Durability durability() {
    return from.durability;
  }

  /**
   * How many instances a pooled type has.
   *
   * @return null if the definition says nothing of it
   */
  public ActorSettings.Pool pool() {
    return from.pool;
  }

  /**
   * The full name of the proto service.
   *
   * @return empty if the type has none
   */
  public String service() {
    return from.service;
  }

  /**
   * The proto file that holds the service.
   *
   * @return empty if the type has none
   */
  public Optional<FileDescriptor> file() {
    return Optional.ofNullable(from.file);
  }

  /**
   * How the state is encoded.
   *
   * @return the codec
   */
  public Codec<S> state() {
    return from.state;
  }

  /**
   * The state of an actor that has none yet.
   *
   * @param actor the object that runs the turn
   * @return the state
   */
  public S initial(A actor) {
    return from.initial.apply(actor);
  }

  /**
   * The action with a name.
   *
   * @param name the name on the wire
   * @return null if there is none
   */
  public Binding<A, S, ?, ?> binding(String name) {
    return bindings.get(name);
  }

  /**
   * All actions.
   *
   * @return in the order in which they were added
   */
  public Collection<Binding<A, S, ?, ?>> bindings() {
    return bindings.values();
  }

  /**
   * How long an actor may stay without a call before it is deactivated.
   *
   * @return zero for the server's default
   */
  public Duration idleTimeout() {
    return from.idleTimeout;
  }

  /**
   * How often a snapshot actor is saved.
   *
   * @return zero for the server's default
   */
  public Duration snapshotInterval() {
    return from.snapshotInterval;
  }

  /**
   * How long one turn may take.
   *
   * @return zero for the server's default
   */
  public Duration turnTimeout() {
    return from.turnTimeout;
  }

  /**
   * How many calls may wait for one actor.
   *
   * @return 0 for the server's default
   */
  public int mailboxLimit() {
    return from.mailboxLimit;
  }

  /**
   * How many shards the keys are spread over.
   *
   * @return 0 for the server's default
   */
  public int shards() {
    return from.shards;
  }

  /**
   * Whether no action runs on state that is not yet committed.
   *
   * @return false by default
   */
  public boolean speculationOff() {
    return from.speculationOff;
  }

  /**
   * Puts a definition together.
   *
   * @param <A> the class of the objects that run the actions
   * @param <S> the type of the state
   */
  public static final class Builder<A, S> {
    private final String name;
    private final Codec<S> state;
    private final Map<String, Binding<A, S, ?, ?>> bindings = new LinkedHashMap<>();
    private final List<String> repeated = new ArrayList<>();
    private Function<A, S> initial = actor -> null;
    private Kind kind = Kind.UNNAMED;
    private Durability durability = Durability.DURABLE;
    private ActorSettings.Pool pool;
    private String service = "";
    private FileDescriptor file;
    private Duration idleTimeout = Duration.ZERO;
    private Duration snapshotInterval = Duration.ZERO;
    private Duration turnTimeout = Duration.ZERO;
    private int mailboxLimit;
    private int shards;
    private boolean speculationOff;

    private Builder(String name, Codec<S> state) {
      this.name = Objects.requireNonNull(name, "name");
      this.state = Objects.requireNonNull(state, "state");
    }

    /**
     * Sets the state of an actor that has none yet.
     *
     * @param initial makes it
     * @return this
     */
    public Builder<A, S> initial(Function<A, S> initial) {
      this.initial = initial;
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
    public <I, O> Builder<A, S> action(Action<I, O> action, Handler<A, S, I, O> handler) {
      return add(new Binding<>(action, handler, false, false));
    }

    /**
     * Adds an action that may change the state and never runs on state that is not yet committed.
     *
     * @param action the action
     * @param handler the code that runs it
     * @param <I> the type of the argument
     * @param <O> the type of the reply
     * @return this
     */
    public <I, O> Builder<A, S> committedAction(Action<I, O> action, Handler<A, S, I, O> handler) {
      return add(new Binding<>(action, handler, false, true));
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
    public <I, O> Builder<A, S> readOnly(Action<I, O> action, ReadHandler<A, S, I, O> handler) {
      return add(new Binding<>(action, handler::handle, true, false));
    }

    private Builder<A, S> add(Binding<A, S, ?, ?> binding) {
      if (bindings.put(binding.action().name(), binding) != null) {
        repeated.add(binding.action().name());
      }
      return this;
    }

    /**
     * Sets what kind of life the actors lead.
     *
     * @param kind {@link Kind#UNNAMED} by default
     * @return this
     */
    public Builder<A, S> kind(Kind kind) {
      this.kind = Objects.requireNonNull(kind, "kind");
      return this;
    }

    /**
     * Sets what happens to the state.
     *
     * @param durability {@link Durability#DURABLE} by default
     * @return this
     */
    public Builder<A, S> durability(Durability durability) {
      this.durability = Objects.requireNonNull(durability, "durability");
      return this;
    }

    /**
     * Makes the type a pooled one: no state that is kept and no keys, many instances at once, each call to any of them.
     * Takes the place of kind and durability. Bounds in the actor's own settings count instead of these.
     *
     * @param min instances that are always in memory
     * @param max instances that run at a time in the whole cluster; 0 for the server's default
     * @return this
     */
    public Builder<A, S> pooled(int min, int max) {
      this.pool = ActorSettings.NONE.withPool(min, max).pool();
      this.kind = Kind.POOLED;
      return this;
    }

    /**
     * Names the proto service that the type implements.
     *
     * @param service its full name
     * @param file the proto file that holds it
     * @return this
     */
    public Builder<A, S> service(String service, FileDescriptor file) {
      this.service = Objects.requireNonNull(service, "service");
      this.file = Objects.requireNonNull(file, "file");
      return this;
    }

    /**
     * Sets how long an actor may stay without a call before it is deactivated.
     *
     * @param idleTimeout zero for the server's default
     * @return this
     */
    public Builder<A, S> idleTimeout(Duration idleTimeout) {
      this.idleTimeout = idleTimeout;
      return this;
    }

    /**
     * Sets how often a snapshot actor is saved.
     *
     * @param snapshotInterval zero for the server's default
     * @return this
     */
    public Builder<A, S> snapshotInterval(Duration snapshotInterval) {
      this.snapshotInterval = snapshotInterval;
      return this;
    }

    /**
     * Sets how long one turn may take.
     *
     * @param turnTimeout zero for the server's default
     * @return this
     */
    public Builder<A, S> turnTimeout(Duration turnTimeout) {
      this.turnTimeout = turnTimeout;
      return this;
    }

    /**
     * Sets how many calls may wait for one actor.
     *
     * @param mailboxLimit 0 for the server's default
     * @return this
     */
    public Builder<A, S> mailboxLimit(int mailboxLimit) {
      this.mailboxLimit = mailboxLimit;
      return this;
    }

    /**
     * Sets how many shards the keys are spread over. Only the first registration of a type counts.
     *
     * @param shards 0 for the server's default
     * @return this
     */
    public Builder<A, S> shards(int shards) {
      this.shards = shards;
      return this;
    }

    /**
     * Keeps every action from running on state that is not yet committed.
     *
     * @param speculationOff true to keep them
     * @return this
     */
    public Builder<A, S> speculationOff(boolean speculationOff) {
      this.speculationOff = speculationOff;
      return this;
    }

    /**
     * Ends the definition.
     *
     * @return the definition
     * @throws IllegalStateException if two actions have the same name
     */
    public ActorDefinition<A, S> build() {
      if (!repeated.isEmpty()) {
        throw new IllegalStateException("actor type " + name + " defines an action twice: " + repeated);
      }
      return new ActorDefinition<>(this);
    }
  }
}
