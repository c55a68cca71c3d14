package io.callboard.sdk;

import io.callboard.sdk.internal.HostRunner;
import io.callboard.sdk.internal.HostSettings;
import io.callboard.sdk.internal.Link;
import io.callboard.sdk.internal.Signals;
import io.callboard.sdk.internal.TurnEngine;
import io.callboard.sdk.internal.TurnExecutors;
import io.callboard.sdk.internal.Wire;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/**
 * Runs actors for the nodes of a Callboard cluster. It connects to each of them, offers its actor types, runs the turns
 * that they send, and reconnects for ever when a connection is lost.
 *
 * <pre>{@code
 * Host.builder().actor(Counter::new).server("127.0.0.1:7070").start().awaitShutdown();
 * }</pre>
 */
public final class Host implements AutoCloseable {
  private final HostRunner runner;

  private Host(HostRunner runner) {
    this.runner = runner;
  }

  /**
   * Begins a host.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * Waits until a node has taken the actor types.
   *
   * @param timeout how long at most
   * @return this
   * @throws CallException if the node refused them
   * @throws TimeoutException if it took too long; the host keeps trying
   * @throws InterruptedException if the thread is interrupted
   */
  public Host awaitReady(Duration timeout) throws TimeoutException, InterruptedException {
    try {
      runner.ready().get(timeout.toNanos(), TimeUnit.NANOSECONDS);
      return this;
    } catch (ExecutionException e) {
      throw refusal(e.getCause());
    } catch (CancellationException e) {
      throw new IllegalStateException("the host was closed before it was ready", e);
    }
  }

  /**
   * Waits until the host has ended: by a signal, by {@link #close}, or because the node refused it.
   *
   * @throws CallException if the node refused the host, with its reason
   */
  public void awaitShutdown() {
    try {
      runner.done().join();
    } catch (CompletionException e) {
      throw refusal(e.getCause());
    }
  }

  private static RuntimeException refusal(Throwable cause) {
    return cause instanceof RuntimeException unchecked ? unchecked : new IllegalStateException(cause);
  }

  /** Drains: takes no more turns, finishes those that came, and closes the session. Waits for all that. */
  @Override
  public void close() {
    runner.drain();
    runner.done().exceptionally(refused -> null).join();
  }

  /** Puts a host together. */
  public static final class Builder {
    private final Map<String, TurnEngine<?, ?>> engines = new LinkedHashMap<>();
    private List<String> servers = List.of();
    private HostMode mode = HostMode.CLUSTER;
    private String system = Wire.DEFAULT_SYSTEM;
    private Map<String, String> labels = Map.of();
    private int credits = 1_024;
    private int turnThreads = Math.max(8, 2 * Runtime.getRuntime().availableProcessors());
    private Duration drainTimeout = Duration.ofSeconds(25);
    private boolean drainOnSignal = true;

    private Builder() {}

    /**
     * Offers an actor type.
     *
     * @param actors makes an actor for each turn, for example {@code Counter::new}
     * @param <S> the type of the state
     * @return this
     * @throws IllegalArgumentException if the host offers a type of that name already
     */
    public <S> Builder actor(Supplier<? extends Actor<S>> actors) {
      TurnEngine<?, S> engine = TurnEngine.of(actors);
      if (engines.put(engine.definition().name(), engine) != null) {
        throw new IllegalArgumentException("actor type " + engine.definition().name() + " is offered twice");
      }
      return this;
    }

    /**
     * Offers an actor type without protos.
     *
     * @param actor the type
     * @param <S> the type of the state
     * @return this
     * @throws IllegalArgumentException if the host offers a type of that name already
     */
    public <S> Builder actor(JsonActor<S> actor) {
      return actor(() -> actor);
    }

    /**
     * Sets through which nodes the host finds the cluster, or as a sidecar which one it serves.
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
     * Sets which nodes the host serves.
     *
     * @param mode {@link HostMode#CLUSTER} by default
     * @return this
     */
    public Builder mode(HostMode mode) {
      this.mode = Objects.requireNonNull(mode, "mode");
      return this;
    }

    /**
     * Sets the system that the types belong to.
     *
     * @param system {@code "default"} by default
     * @return this
     */
    public Builder system(String system) {
      this.system = Objects.requireNonNull(system, "system");
      return this;
    }

    /**
     * Sets facts about the host that placement may use.
     *
     * @param labels none by default
     * @return this
     */
    public Builder labels(Map<String, String> labels) {
      this.labels = Map.copyOf(labels);
      return this;
    }

    /**
     * Sets how many turns the host takes at a time. They are shared out evenly among the nodes.
     *
     * @param credits 1,024 by default
     * @return this
     */
    public Builder credits(int credits) {
      if (credits < 1) {
        throw new IllegalArgumentException("a host needs at least one credit, not " + credits);
      }
      this.credits = credits;
      return this;
    }

    /**
     * Sets how many threads run turns. Raise it for actions that block on something other than calls inside their turn;
     * of no effect where the JVM has virtual threads.
     *
     * @param threads twice the number of processors by default, but at least 8
     * @return this
     */
    public Builder turnThreads(int threads) {
      this.turnThreads = threads;
      return this;
    }

    /**
     * Sets how long a drain may take before the host gives up the turns that still run.
     *
     * @param timeout 25 seconds by default
     * @return this
     */
    public Builder drainTimeout(Duration timeout) {
      this.drainTimeout = Objects.requireNonNull(timeout, "timeout");
      return this;
    }

    /**
     * Sets whether SIGTERM and SIGINT drain the host and then exit the process with 0.
     *
     * @param drain true by default; false leaves signals to the program, which then calls {@link Host#close}
     * @return this
     */
    public Builder drainOnSignal(boolean drain) {
      this.drainOnSignal = drain;
      return this;
    }

    /**
     * Starts the host. It connects in the background and keeps trying.
     *
     * @return the host
     * @throws IllegalStateException if it offers no actor type, or is a sidecar of several nodes
     */
    public Host start() {
      if (engines.isEmpty()) {
        throw new IllegalStateException("a host needs at least one actor type: call actor(...)");
      }
      List<String> addresses = Link.servers(servers);
      if (mode == HostMode.SIDECAR && addresses.size() > 1) {
        throw new IllegalStateException("a sidecar host serves one node, not " + String.join(", ", addresses));
      }
      HostSettings settings =
          new HostSettings(
              system,
              Map.copyOf(engines),
              labels,
              UUID.randomUUID().toString(),
              credits,
              drainTimeout);
      HostRunner runner =
          new HostRunner(
              addresses,
              mode == HostMode.CLUSTER,
              settings,
              TurnExecutors.create(turnThreads, credits));
      if (drainOnSignal) {
        Signals.drainOnSignal(runner);
      }
      runner.start();
      return new Host(runner);
    }
  }
}
