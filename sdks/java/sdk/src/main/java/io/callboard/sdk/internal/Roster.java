package io.callboard.sdk.internal;

import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Which addresses a host keeps a session with: those that it was given, and in cluster mode those that the nodes tell.
 * Only decides; {@link HostRunner} opens and closes. A node is served once, whatever names it has: whoever reached it
 * first keeps it, which also makes do where the addresses that nodes tell cannot be reached from here.
 */
public final class Roster {
  /**
   * A node as Welcome and Topology name it.
   *
   * @param nodeId its number
   * @param address host:port
   */
  public record Member(long nodeId, String address) {}

  private final List<String> configured;
  private final boolean discovers;
  private final Map<Long, String> members = new LinkedHashMap<>();
  /** Nodes that a Topology no longer named; an older Welcome must not bring them back. */
  private final Set<Long> departed = new HashSet<>();
  /** Who answered at an address last. */
  private final Map<String, Long> answered = new HashMap<>();
  /** Where a node is being served. */
  private final Map<Long, String> held = new HashMap<>();
  /** Where a node was served last; it gets the first try when that session is lost. */
  private final Map<Long, String> last = new HashMap<>();
  /** Addresses where the last try got no answer. */
  private final Set<String> failing = new HashSet<>();
  private int live;
  private long version;

  /**
   * A roster before any node has answered.
   *
   * @param configured the addresses that the host was given
   * @param discovers false to stay with them
   */
  public Roster(List<String> configured, boolean discovers) {
    this.configured = List.copyOf(configured);
    this.discovers = discovers;
  }

  /**
   * A node answered.
   *
   * @param address where
   * @param nodeId which node
   * @param nodes the nodes that it names
   * @return false if the node is served elsewhere already
   */
  public boolean welcomed(String address, long nodeId, List<Member> nodes) {
    failing.remove(address);
    Long before = answered.put(address, nodeId);
    if (before != null && before != nodeId) {
      last.remove(before, address);
    }
    if (discovers && nodeId != 0 && !held.getOrDefault(nodeId, address).equals(address)) {
      return false;
    }
    if (live == 0 && !nodes.isEmpty()) {
      // Nothing that was known before is known to hold still.
      members.clear();
    }
    live++;
    if (nodeId != 0) {
      held.put(nodeId, address);
      last.put(nodeId, address);
    }
    for (Member node : nodes) {
      if (version == 0 || !(members.containsKey(node.nodeId()) || departed.contains(node.nodeId()))) {
        join(node);
      }
    }
    return true;
  }

  /**
   * The cluster's nodes as of a version of its view. Older versions than one seen before change nothing.
   *
   * @param version the view's version
   * @param nodes all nodes
   */
  public void topology(long version, List<Member> nodes) {
    if (Long.compareUnsigned(version, this.version) < 0 || nodes.isEmpty()) {
      return;
    }
    this.version = version;
    Set<Long> gone = new HashSet<>(members.keySet());
    for (Member node : nodes) {
      gone.remove(node.nodeId());
      departed.remove(node.nodeId());
      join(node);
    }
    members.keySet().removeAll(gone);
    departed.addAll(gone);
  }

  /**
   * A session that was welcomed is over.
   *
   * @param address where it was
   */
  public void closed(String address) {
    live--;
    Long nodeId = answered.get(address);
    if (nodeId != null) {
      held.remove(nodeId, address);
    }
    if (live == 0) {
      // Whoever answers next may belong to a cluster that counts its views anew.
      version = 0;
      departed.clear();
    }
  }

  /**
   * No node answered.
   *
   * @param address where
   */
  public void failed(String address) {
    failing.add(address);
  }

  /**
   * The addresses to keep a session with.
   *
   * @return each once
   */
  public Set<String> wanted() {
    if (!discovers) {
      return new LinkedHashSet<>(configured);
    }
    Set<String> wanted = new LinkedHashSet<>();
    for (String address : configured) {
      String server = server(answered.getOrDefault(address, 0L));
      if (server == null || server.equals(address)) {
        wanted.add(address);
      }
    }
    members.forEach(
        (nodeId, address) -> {
          String server = server(nodeId);
          wanted.add(server == null ? address : server);
        });
    return wanted;
  }

  /** The one address at which a node is to be served; null if every one may be tried. */
  private String server(long nodeId) {
    String holder = held.get(nodeId);
    if (holder != null) {
      return holder;
    }
    String tried = last.get(nodeId);
    if (tried == null || failing.contains(tried)) {
      return null;
    }
    return configured.contains(tried) || members.containsValue(tried) ? tried : null;
  }

  private void join(Member node) {
    if (!node.address().isEmpty()) {
      members.put(node.nodeId(), node.address());
    }
  }
}
