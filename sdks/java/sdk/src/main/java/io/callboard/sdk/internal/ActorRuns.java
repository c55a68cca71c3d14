package io.callboard.sdk.internal;

import io.callboard.host.v1.TurnRun;
import io.callboard.sdk.ActorId;
import io.callboard.type.v1.Payload;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * One run of turns: strictly in order, each on the state that the previous one left. Leaves its thread while an action
 * answers later, and comes back to the executor when it has.
 *
 * @param <S> the type of the state
 */
final class ActorRuns<S> {
  private static final System.Logger LOG = System.getLogger("io.callboard.host");
  private static final int TIMEOUT_MS_DEFAULT = 30_000;

  private final HostSession session;
  private final Executor executor;
  private final TurnEngine<?, S> engine;
  private final ActorId self;
  private final long epoch;
  private final List<RunningTurn> turns;
  private final Instant received;
  private final Runnable whenOver;
  private StateCell<S> cell;
  private Map<String, String> tags;
  private int next;

  ActorRuns(
      HostSession session,
      Executor executor,
      TurnEngine<?, S> engine,
      TurnRun run,
      List<RunningTurn> turns,
      Runnable whenOver) {
    this.session = session;
    this.executor = executor;
    this.engine = engine;
    this.self = Wire.actorId(run.getActor());
    this.epoch = run.getEpoch();
    this.turns = turns;
    this.received = Instant.now();
    this.whenOver = whenOver;
    this.cell = engine.cell(run.getStateFull());
    this.tags = run.getTagsMap();
  }

  /** Runs turns until the run is over or an action answers later. */
  void proceed() {
    while (next < turns.size() && !session.isClosed()) {
      RunningTurn turn = turns.get(next++);
      if (turn.token().isCancelled()) {
        session.answer(turn, new TurnOutcome.Cancelled());
        continue;
      }
      Payload before = cell.bytes();
      // Whoever comes second goes on: this thread, or the one that completes the action.
      AtomicBoolean first = new AtomicBoolean(true);
      engine.run(
          input(turn),
          cell,
          outcome -> {
            settle(turn, before, outcome);
            if (!first.getAndSet(false)) {
              executor.execute(this::proceed);
            }
          });
      if (first.getAndSet(false)) {
        return;
      }
    }
    whenOver.run();
  }

  private void settle(RunningTurn turn, Payload before, TurnOutcome outcome) {
    if (outcome instanceof TurnOutcome.Failed failed && failed.unexpected()) {
      // Callers get one line; the stack is for whoever runs the host.
      LOG.log(System.Logger.Level.ERROR, self + " " + turn.turn().getAction() + " failed", failed.cause());
    }
    TurnOutcome sent = session.answer(turn, outcome);
    if (sent != outcome) {
      // Too large to send, so the turn counts as failed.
      cell = engine.cell(before);
    }
    if (sent instanceof TurnOutcome.Replied replied && replied.tags() != null) {
      tags = replied.tags();
    }
  }

  private TurnInput input(RunningTurn turn) {
    int timeoutMs = turn.turn().getTimeoutMs() == 0 ? TIMEOUT_MS_DEFAULT : turn.turn().getTimeoutMs();
    return new TurnInput(
        self,
        turn.turn(),
        epoch,
        tags,
        received.plusMillis(Integer.toUnsignedLong(timeoutMs)),
        InstantSource.system(),
        turn.token(),
        call -> session.call(turn, call),
        executor);
  }
}
