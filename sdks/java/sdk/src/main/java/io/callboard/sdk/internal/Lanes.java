package io.callboard.sdk.internal;

import io.callboard.type.v1.ActorId;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.Executor;

/**
 * Keeps the runs of one activation behind each other, while different activations run at the same time. A lane exists
 * only as long as something runs in it.
 */
final class Lanes {
  private record Lane(ActorId actor, long activation) {}

  private final Executor executor;
  /** What waits behind the run of a lane. An absent lane is idle. */
  private final Map<Lane, Queue<Runnable>> busy = new HashMap<>();

  Lanes(Executor executor) {
    this.executor = executor;
  }

  /** Starts a run now or behind those before it. It must end by calling {@link #over}. */
  void submit(ActorId actor, long activation, Runnable run) {
    synchronized (busy) {
      Lane lane = new Lane(actor, activation);
      Queue<Runnable> waiting = busy.get(lane);
      if (waiting != null) {
        waiting.add(run);
        return;
      }
      busy.put(lane, new ArrayDeque<>(0));
    }
    executor.execute(run);
  }

  /** The run of this lane has ended. */
  void over(ActorId actor, long activation) {
    Runnable following;
    synchronized (busy) {
      Lane lane = new Lane(actor, activation);
      Queue<Runnable> waiting = busy.get(lane);
      following = waiting == null ? null : waiting.poll();
      if (following == null) {
        busy.remove(lane);
      }
    }
    if (following != null) {
      executor.execute(following);
    }
  }
}
