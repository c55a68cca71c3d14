package io.callboard.sdk.internal;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Drains the hosts of this process when it is asked to end. The first SIGTERM or SIGINT drains and then exits with 0; a
 * second one exits at once. Where the JVM has no signal handling for programs, a shutdown hook drains instead, and the
 * JVM chooses the exit code.
 */
public final class Signals {
  private static final System.Logger LOG = System.getLogger("io.callboard.host");
  private static final List<HostRunner> HOSTS = new ArrayList<>();
  private static boolean installed;
  private static boolean asked;

  private Signals() {}

  /**
   * Drains this host too.
   *
   * @param host the host
   */
  public static synchronized void drainOnSignal(HostRunner host) {
    HOSTS.add(host);
    host.done().whenComplete((nothing, error) -> forget(host));
    if (!installed) {
      installed = true;
      if (!handle("TERM") || !handle("INT")) {
        Runtime.getRuntime().addShutdownHook(new Thread(Signals::drainAll, "callboard-drain"));
      }
    }
  }

  private static synchronized void forget(HostRunner host) {
    HOSTS.remove(host);
  }

  /** The class is in every JDK but not in the standard, so it is looked up. */
  private static boolean handle(String signal) {
    try {
      Class<?> type = Class.forName("sun.misc.Signal");
      Class<?> handlerType = Class.forName("sun.misc.SignalHandler");
      Object raised = type.getConstructor(String.class).newInstance(signal);
      int number = (int) type.getMethod("getNumber").invoke(raised);
      InvocationHandler handler =
          (proxy, method, arguments) ->
              switch (method.getName()) {
                case "handle" -> {
                  signalled(number);
                  yield null;
                }
                case "equals" -> proxy == arguments[0];
                case "hashCode" -> System.identityHashCode(proxy);
                default -> "callboard drain on " + signal;
              };
      Object proxy =
          Proxy.newProxyInstance(Signals.class.getClassLoader(), new Class<?>[] {handlerType}, handler);
      type.getMethod("handle", type, handlerType).invoke(null, raised, proxy);
      return true;
    } catch (ReflectiveOperationException | IllegalArgumentException e) {
      LOG.log(System.Logger.Level.DEBUG, "no handler for SIG" + signal, e);
      return false;
    }
  }

  private static void signalled(int number) {
    synchronized (Signals.class) {
      if (asked) {
        Runtime.getRuntime().halt(128 + number);
      }
      asked = true;
    }
    LOG.log(System.Logger.Level.INFO, "draining; another signal exits at once");
    Thread drain =
        new Thread(
            () -> {
              drainAll();
              System.exit(0);
            },
            "callboard-drain");
    drain.setDaemon(true);
    drain.start();
  }

  private static void drainAll() {
    List<HostRunner> hosts;
    synchronized (Signals.class) {
      hosts = List.copyOf(HOSTS);
    }
    hosts.forEach(HostRunner::drain);
    CompletableFuture<?>[] ends =
        hosts.stream().map(host -> host.done().exceptionally(e -> null)).toArray(CompletableFuture[]::new);
    CompletableFuture.allOf(ends).join();
  }
}
