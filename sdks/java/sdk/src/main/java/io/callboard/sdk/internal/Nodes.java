package io.callboard.sdk.internal;

import io.callboard.sdk.CallException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * The nodes that a client knows, and the one that it uses. Any node takes any call, so a client stays with one until that
 * one cannot answer, and then goes on to the next. Clients begin at different nodes, which spreads them. Lives on the
 * event loop.
 *
 * @param <T> what the client keeps for each node
 */
public final class Nodes<T> {
  /** Reasons that are the node's own: another one may well answer. */
  private static final Set<String> LEAVES =
      Set.of("CONNECTION_LOST", "SHUTTING_DOWN", "LEASE_LOST", "NOT_OWNER", "STORE_UNAVAILABLE");

  private final List<String> addresses;
  private final Map<String, T> opened = new HashMap<>();
  private int current;

  /**
   * The nodes at these addresses.
   *
   * @param addresses at least one host:port
   * @param open prepares what is kept for a node, called once for each, here and now: an address that is none is refused
   *     before any call
   */
  public Nodes(List<String> addresses, Function<String, T> open) {
    this.addresses = List.copyOf(addresses);
    this.addresses.forEach(address -> opened.put(address, open.apply(address)));
    this.current = ThreadLocalRandom.current().nextInt(addresses.size());
  }

  /**
   * The node in use.
   *
   * @return host:port
   */
  public String address() {
    return addresses.get(current);
  }

  /**
   * The connection to the node in use. It is kept when the client moves on, for the calls that the node has taken.
   *
   * @return what was prepared for it
   */
  public T connection() {
    return opened.get(address());
  }

  /**
   * Goes on to the next node if the error is the node's own.
   *
   * @param address where the error came from
   * @param error the error
   */
  public void failed(String address, CallException error) {
    // Many calls fail together when a node goes; only the first of them moves the client.
    if (address.equals(address()) && !error.fromActor() && LEAVES.contains(error.reason())) {
      current = (current + 1) % addresses.size();
    }
  }

  /**
   * Does something to every connection.
   *
   * @param action what to do
   */
  public void each(Consumer<T> action) {
    opened.values().forEach(action);
  }
}
