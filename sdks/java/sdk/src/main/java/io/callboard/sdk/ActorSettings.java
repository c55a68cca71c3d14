package io.callboard.sdk;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * What an actor type asks for beyond the running of calls: timers, channels, a pool, a history. Immutable; each {@code
 * with} method answers a changed copy.
 *
 * @param timers actions at a fixed interval
 * @param subscriptions channels whose messages the actors get
 * @param pool how many instances a pooled type has; null for other types
 * @param history which committed revisions are kept; null for none
 */
public record ActorSettings(List<Timer> timers, List<Subscribed> subscriptions, Pool pool, History history) {
  /** Nothing. */
  public static final ActorSettings NONE = new ActorSettings(List.of(), List.of(), null, null);

  private static final String RECEIVE = "receive";
  private static final Duration INTERVAL_MIN = Duration.ofMillis(10);

  /** Copies the lists. */
  public ActorSettings {
    timers = List.copyOf(timers);
    subscriptions = List.copyOf(subscriptions);
  }

  /**
   * An action at a fixed interval while the actor is in memory.
   *
   * @param action the action's name
   * @param interval at least 10 ms
   */
  public record Timer(String action, Duration interval) {}

  /**
   * What the actors hear of a channel.
   *
   * @param channel the channel's name
   * @param action the action that gets the messages
   * @param deliver which actors get them
   */
  public record Subscribed(String channel, String action, Deliver deliver) {}

  /**
   * How many instances of a pooled type there are in the whole cluster.
   *
   * @param min those that are always in memory
   * @param max those that run at a time; 0 for the server's default
   */
  public record Pool(int min, int max) {}

  /**
   * Which committed revisions are kept, to be read and restored.
   *
   * @param revisions how many; 0 for as many as the age allows
   * @param age for how long; zero for as long as the number allows
   */
  public record History(int revisions, Duration age) {}

  /**
   * Runs an action at a fixed interval while the actor is in memory. It gets no argument, and the metadata entry {@code
   * callboard-timer}. Intervals that pass while an earlier one is late count as one.
   *
   * @param action the action
   * @param interval at least 10 ms
   * @return the changed settings
   */
  public ActorSettings withTimer(Action<?, ?> action, Duration interval) {
    if (interval.compareTo(INTERVAL_MIN) < 0) {
      throw new IllegalArgumentException("the interval of a timer is at least 10 ms, not " + interval);
    }
    return new ActorSettings(
        added(timers, new Timer(action.name(), interval)), subscriptions, pool, history);
  }

  /**
   * Gives the actors what is said on a channel.
   *
   * @param channel the channel
   * @param action gets the messages, and the metadata entry {@code callboard-channel}
   * @param deliver which actors get them
   * @param <T> the type of the messages
   * @return the changed settings
   */
  public <T> ActorSettings withChannel(Channel<T> channel, Action<T, ?> action, Deliver deliver) {
    return subscribed(channel.name(), action.name(), deliver);
  }

  /**
   * Gives the actors what is said on a channel.
   *
   * @param channel the channel
   * @param action gets the messages
   * @param <T> the type of the messages
   * @return the changed settings
   */
  public <T> ActorSettings withChannel(Channel<T> channel, Action<T, ?> action) {
    return subscribed(channel.name(), action.name(), Deliver.DEFAULT);
  }

  /**
   * Gives the action {@code receive} of the actors what is said on a channel.
   *
   * @param channel the channel
   * @return the changed settings
   */
  public ActorSettings withChannel(Channel<?> channel) {
    return subscribed(channel.name(), RECEIVE, Deliver.DEFAULT);
  }

  private ActorSettings subscribed(String channel, String action, Deliver deliver) {
    Objects.requireNonNull(deliver, "deliver");
    return new ActorSettings(
        timers, added(subscriptions, new Subscribed(channel, action, deliver)), pool, history);
  }

  /**
   * Makes the type a pooled one: no state that is kept and no keys, many instances at once, each call to any of them.
   * Takes the place of the type's kind and durability.
   *
   * @param min instances that are always in memory
   * @param max instances that run at a time in the whole cluster; 0 for the server's default
   * @return the changed settings
   */
  public ActorSettings withPool(int min, int max) {
    if (min < 0 || max < 0 || max > 0 && min > max) {
      throw new IllegalArgumentException("a pool has 0 <= min <= max instances, not " + min + " to " + max);
    }
    return new ActorSettings(timers, subscriptions, new Pool(min, max), history);
  }

  /**
   * Keeps committed revisions, to be read and restored.
   *
   * @param revisions how many; 0 for as many as the age allows
   * @param age for how long; zero for as long as the number allows
   * @return the changed settings
   */
  public ActorSettings withHistory(int revisions, Duration age) {
    if (revisions < 0 || age.isNegative() || revisions == 0 && age.isZero()) {
      throw new IllegalArgumentException("a history needs a number of revisions, an age, or both");
    }
    return new ActorSettings(timers, subscriptions, pool, new History(revisions, age));
  }

  /**
   * Checks that the actions exist.
   *
   * @param definition the type that has these settings
   * @throws IllegalStateException if a timer or a channel names an action that the type does not have
   */
  public void check(ActorDefinition<?, ?> definition) {
    for (Timer timer : timers) {
      check(definition, "a timer", timer.action());
    }
    for (Subscribed subscribed : subscriptions) {
      check(definition, "channel " + subscribed.channel(), subscribed.action());
    }
  }

  private static void check(ActorDefinition<?, ?> definition, String who, String action) {
    if (definition.binding(action) == null) {
      throw new IllegalStateException(
          "actor type " + definition.name() + " has no action \"" + action + "\" for " + who + "; it has "
              + definition.bindings().stream().map(binding -> binding.action().name()).toList());
    }
  }

  private static <T> List<T> added(List<T> list, T one) {
    List<T> longer = new ArrayList<>(list);
    longer.add(one);
    return longer;
  }
}
