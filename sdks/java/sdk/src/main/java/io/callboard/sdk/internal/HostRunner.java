package io.callboard.sdk.internal;

import io.callboard.sdk.CallException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Keeps a host connected: one session after the other until it is drained or refused. */
public final class HostRunner implements HostSession.Owner {
  private static final System.Logger LOG = System.getLogger("io.callboard.host");

  private final Link link;
  private final String server;
  private final HostSettings settings;
  private final ExecutorService executor;
  private final ExecutorService callbackRunner;
  private final CompletableFuture<Void> ready = new CompletableFuture<>();
  private final CompletableFuture<Void> done = new CompletableFuture<>();
  // On the event loop only.
  private HostSession session;
  private Runnable pendingConnect;
  private int failures;
  private boolean draining;

  /**
   * Prepares a host. Owns the link and the executor from now on.
   *
   * @param server host:port
   * @param settings what the host offers
   * @param executor runs the turns
   */
  public HostRunner(String server, HostSettings settings, ExecutorService executor) {
    this.server = server;
    this.settings = settings;
    this.executor = executor;
    this.link = new Link(server, "callboard-host");
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
    link.onLoop(this::connect);
  }

  /**
   * Completes when the node takes the types for the first time.
   *
   * @return completes exceptionally if the host is refused or drained before
   */
  public CompletableFuture<Void> ready() {
    return ready;
  }

  /**
   * Completes when the host has ended.
   *
   * @return completes exceptionally if the node refused the host
   */
  public CompletableFuture<Void> done() {
    return done;
  }

  /** Begins to drain. {@link #done} completes when that is over, at the latest after the drain timeout. */
  public void drain() {
    link.onLoop(
        () -> {
          if (draining || done.isDone()) {
            return;
          }
          draining = true;
          if (pendingConnect != null) {
            pendingConnect.run();
          }
          if (session == null) {
            finish(null);
            return;
          }
          session.drain();
          HostSession drained = session;
          link.later(drained::abandon, settings.drainTimeout().toMillis());
        });
  }

  private void connect() {
    pendingConnect = null;
    link.reconnectNow();
    session = new HostSession(link, settings, executor, callbackRunner, this);
    session.open();
  }

  @Override
  public void sessionReady(HostSession ready) {
    failures = 0;
    LOG.log(
        System.Logger.Level.INFO,
        "connected to {0}, serving {1}",
        server,
        String.join(", ", settings.engines().keySet()));
    this.ready.complete(null);
  }

  @Override
  public void sessionEnded(HostSession ended, CallException cause, boolean hopeless) {
    if (ended != session) {
      return;
    }
    session = null;
    if (draining) {
      finish(null);
    } else if (hopeless) {
      LOG.log(System.Logger.Level.ERROR, "the node at {0} refused this host: {1}", server, cause);
      finish(cause);
    } else {
      failures++;
      long delayMs = Link.backoffMs(failures);
      System.Logger.Level level =
          failures == 1 ? System.Logger.Level.WARNING : System.Logger.Level.DEBUG;
      LOG.log(level, "no session with {0} ({1}); connecting again until it works", server, cause.getMessage());
      pendingConnect = link.later(this::connect, delayMs);
    }
  }

  private void finish(CallException refusal) {
    executor.shutdown();
    callbackRunner.shutdown();
    link.close();
    if (refusal != null) {
      ready.completeExceptionally(refusal);
      done.completeExceptionally(refusal);
    } else {
      ready.cancel(false);
      done.complete(null);
    }
  }
}
