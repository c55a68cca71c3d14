package io.callboard.sdk.internal;

import io.callboard.host.v1.Topology;
import io.callboard.host.v1.Welcome;
import io.callboard.sdk.CallException;
import io.callboard.type.v1.NodeAddress;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The sessions of one host: one to every node of the cluster, or as a sidecar to the one that it was given. What happens
 * to one node disturbs no session with another.
 */
public final class HostRunner implements NodeLink.Owner {
  private static final System.Logger LOG = System.getLogger("io.callboard.host");

  private final Loop loop = new Loop("callboard-host");
  private final HostSettings settings;
  private final ExecutorService executor;
  private final ExecutorService callbackRunner;
  private final CompletableFuture<Void> ready = new CompletableFuture<>();
  private final CompletableFuture<Void> done = new CompletableFuture<>();
  // On the event loop only.
  private final Roster roster;
  private final Map<String, NodeLink> links = new HashMap<>();
  /** Links that are wanted no more and finish their turns. */
  private final Set<NodeLink> leaving = new HashSet<>();
  private CallException refusal;
  private boolean draining;

  /**
   * Prepares a host. Owns the executor from now on.
   *
   * @param addresses host:port of the nodes that it was given
   * @param discovers false to serve only them
   * @param settings what the host offers
   * @param executor runs the turns
   */
  public HostRunner(List<String> addresses, boolean discovers, HostSettings settings, ExecutorService executor) {
    this.roster = new Roster(addresses, discovers);
    this.settings = settings;
    this.executor = executor;
    this.callbackRunner =
        Executors.newCachedThreadPool(
            task -> {
              Thread thread = new Thread(task, "callboard-cancel");
              thread.setDaemon(true);
              return thread;
            });
  }

  /** Begins to connect. */
  public void start() {
    loop.onLoop(this::adjust);
  }

  /**
   * Completes when a node takes the types for the first time.
   *
   * @return completes exceptionally if the host is refused or drained before
   */
  public CompletableFuture<Void> ready() {
    return ready;
  }

  /**
   * Completes when the host has ended.
   *
   * @return completes exceptionally if the nodes refused the host
   */
  public CompletableFuture<Void> done() {
    return done;
  }

  /** Begins to drain. {@link #done} completes when that is over, at the latest after the drain timeout. */
  public void drain() {
    loop.onLoop(
        () -> {
          if (draining) {
            return;
          }
          draining = true;
          List<NodeLink> all = List.copyOf(links.values());
          links.clear();
          leaving.addAll(all);
          all.forEach(NodeLink::drain);
          finishIfDone();
        });
  }

  // === what links tell ===

  @Override
  public int credits() {
    return share(live() + 1);
  }

  @Override
  public boolean welcomed(NodeLink link, Welcome welcome) {
    boolean serves = roster.welcomed(link.address(), welcome.getNodeId(), members(welcome.getNodesList()));
    if (!serves) {
      links.remove(link.address(), link);
      leaving.add(link);
    }
    // The link first becomes one of those that share the credits.
    loop.nextTick(this::adjust);
    return serves;
  }

  @Override
  public void topology(Topology topology) {
    roster.topology(topology.getViewVersion(), members(topology.getNodesList()));
    adjust();
  }

  @Override
  public void registered(NodeLink link) {
    ready.complete(null);
  }

  @Override
  public void lost(NodeLink link, boolean answered) {
    if (answered) {
      roster.closed(link.address());
    } else if (links.get(link.address()) == link) {
      roster.failed(link.address());
    }
    adjust();
  }

  @Override
  public boolean refused(NodeLink link, CallException cause) {
    if (ready.isDone()) {
      // Others have taken the types: this node may be older or newer, and comes round when it is replaced.
      return false;
    }
    LOG.log(System.Logger.Level.ERROR, "the node at {0} refused this host: {1}", link.address(), cause);
    refusal = cause;
    drain();
    return true;
  }

  @Override
  public void ended(NodeLink link) {
    leaving.remove(link);
    finishIfDone();
  }

  // === what follows from it ===

  /** Opens and closes links until they are those that are wanted, and shares the credits out anew. */
  private void adjust() {
    if (draining) {
      return;
    }
    Set<String> wanted = roster.wanted();
    for (NodeLink link : List.copyOf(links.values())) {
      if (!wanted.contains(link.address())) {
        links.remove(link.address());
        leaving.add(link);
        link.drain();
      }
    }
    for (String address : wanted) {
      if (!links.containsKey(address)) {
        NodeLink link = new NodeLink(loop, address, settings, executor, callbackRunner, this);
        links.put(address, link);
        link.connect();
      }
    }
    int share = share(Math.max(1, live()));
    links.values().stream().filter(NodeLink::isLive).forEach(link -> link.credits(share));
  }

  private int live() {
    return (int) links.values().stream().filter(NodeLink::isLive).count();
  }

  private int share(int sessions) {
    return Math.max(1, settings.credits() / sessions);
  }

  private static List<Roster.Member> members(List<NodeAddress> nodes) {
    return nodes.stream().map(node -> new Roster.Member(node.getNodeId(), node.getAddress())).toList();
  }

  private void finishIfDone() {
    if (!draining || !leaving.isEmpty() || done.isDone()) {
      return;
    }
    executor.shutdown();
    callbackRunner.shutdown();
    loop.close();
    if (refusal != null) {
      ready.completeExceptionally(refusal);
      done.completeExceptionally(refusal);
    } else {
      ready.cancel(false);
      done.complete(null);
    }
  }
}
