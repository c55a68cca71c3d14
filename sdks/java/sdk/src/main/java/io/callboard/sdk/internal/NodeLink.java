package io.callboard.sdk.internal;

import io.callboard.host.v1.Topology;
import io.callboard.host.v1.Welcome;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.RetryAdvice;
import java.util.concurrent.Executor;

/**
 * Keeps a host connected to one node: one session after the other for as long as the {@link HostRunner} wants the node.
 * Lives on the event loop.
 */
final class NodeLink implements HostSession.Owner {
  private static final System.Logger LOG = System.getLogger("io.callboard.host");

  /** What the host is told, on the event loop. */
  interface Owner {
    /** How many turns to ask for in the Hello of a new session. */
    int credits();

    /** The node answered. False if another link serves it. */
    boolean welcomed(NodeLink link, Welcome welcome);

    /** A node told who belongs to the cluster. */
    void topology(Topology topology);

    /** The node took the types. */
    void registered(NodeLink link);

    /** There is no session any more; {@code answered} if the node had welcomed it. */
    void lost(NodeLink link, boolean answered);

    /** The node refused the host for good. True if that ends the host, false to keep trying. */
    boolean refused(NodeLink link, CallException cause);

    /** The link has ended. */
    void ended(NodeLink link);
  }

  private final Loop loop;
  private final String address;
  private final HostSettings settings;
  private final Executor executor;
  private final Executor callbackRunner;
  private final Owner owner;
  private Link link;
  private HostSession session;
  private Runnable pendingConnect;
  private int failures;
  private boolean answered;
  private boolean complained;
  private boolean draining;
  private boolean over;

  NodeLink(
      Loop loop,
      String address,
      HostSettings settings,
      Executor executor,
      Executor callbackRunner,
      Owner owner) {
    this.loop = loop;
    this.address = address;
    this.settings = settings;
    this.executor = executor;
    this.callbackRunner = callbackRunner;
    this.owner = owner;
  }

  String address() {
    return address;
  }

  /** True while the node has greeted the host and the host is not leaving it. */
  boolean isLive() {
    return answered && !draining;
  }

  void credits(int credits) {
    if (session != null) {
      session.credits(credits);
    }
  }

  /** Opens the first session. */
  void connect() {
    pendingConnect = null;
    try {
      if (link == null) {
        link = new Link(loop, address, false);
      }
      link.reconnectNow();
      session = new HostSession(link, settings, executor, callbackRunner, this, owner.credits());
    } catch (IllegalArgumentException e) {
      again(
          new CallException(
              ErrorCode.INVALID_ARGUMENT, "INVALID_ADDRESS", String.valueOf(e.getMessage()), RetryAdvice.SAFE));
      return;
    }
    session.open();
  }

  /** Takes no more turns, finishes those that came within the drain timeout, and ends. */
  void drain() {
    if (draining) {
      return;
    }
    draining = true;
    if (pendingConnect != null) {
      pendingConnect.run();
    }
    if (session == null) {
      finish();
      return;
    }
    HostSession drained = session;
    drained.drain();
    loop.later(drained::abandon, settings.drainTimeout().toMillis());
  }

  @Override
  public boolean welcomed(HostSession welcomed, Welcome welcome) {
    answered = owner.welcomed(this, welcome);
    if (!answered) {
      draining = true;
    }
    return answered;
  }

  @Override
  public void topology(Topology topology) {
    owner.topology(topology);
  }

  @Override
  public void sessionReady(HostSession ready) {
    failures = 0;
    complained = false;
    LOG.log(
        System.Logger.Level.INFO,
        "connected to {0}, serving {1}",
        address,
        String.join(", ", settings.engines().keySet()));
    owner.registered(this);
  }

  @Override
  public void sessionEnded(HostSession ended, CallException cause, boolean hopeless) {
    if (ended != session) {
      return;
    }
    boolean had = answered;
    answered = false;
    session = null;
    owner.lost(this, had);
    if (draining) {
      finish();
    } else if (!hopeless || !owner.refused(this, cause)) {
      again(cause);
    }
  }

  private void again(CallException cause) {
    failures++;
    // Once is enough for a node that stays away.
    System.Logger.Level level = complained ? System.Logger.Level.DEBUG : System.Logger.Level.WARNING;
    complained = true;
    LOG.log(level, "no session with {0} ({1}); connecting again until it works", address, cause.getMessage());
    pendingConnect = loop.later(this::connect, Loop.backoffMs(failures));
  }

  private void finish() {
    if (over) {
      return;
    }
    over = true;
    if (link != null) {
      link.close();
    }
    owner.ended(this);
  }
}
