package io.callboard.sdk.internal;

import io.callboard.host.v1.Cancelled;
import io.callboard.host.v1.ConnectRequest;
import io.callboard.host.v1.ConnectResponse;
import io.callboard.host.v1.Credit;
import io.callboard.host.v1.Drain;
import io.callboard.host.v1.HostFrame;
import io.callboard.host.v1.HostServiceMethods;
import io.callboard.host.v1.Limits;
import io.callboard.host.v1.NodeFrame;
import io.callboard.host.v1.Pong;
import io.callboard.host.v1.Registered;
import io.callboard.host.v1.StateMissing;
import io.callboard.host.v1.Tags;
import io.callboard.host.v1.Topology;
import io.callboard.host.v1.Turn;
import io.callboard.host.v1.TurnCall;
import io.callboard.host.v1.TurnCallResult;
import io.callboard.host.v1.TurnResult;
import io.callboard.host.v1.TurnRun;
import io.callboard.host.v1.Welcome;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.RetryAdvice;
import io.callboard.type.v1.Payload;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;

/**
 * One session with a node: one stream, from Hello to its end. Frames are handled on the event loop; turns run on the
 * executor. Made and dropped by {@link NodeLink}.
 */
final class HostSession {
  private static final System.Logger LOG = System.getLogger("io.callboard.host");
  private static final long REGISTER_ID = 1;
  private static final int MESSAGES_AHEAD = 4;
  private static final long WELCOME_MS_MAX = 10_000;
  // A node that does not close its side in this time is not waited for.
  private static final long HALF_CLOSED_MS_MAX = 2_000;
  // Far more than the turns in flight, which the credits bound; a duplicate comes soon or never.
  private static final int TURN_IDS_REMEMBERED = 16_384;

  /** What the owner of a session is told, on the event loop. */
  interface Owner {
    /** The node answered Hello. False ends the session before it offers anything. */
    boolean welcomed(HostSession session, Welcome welcome);

    /** The nodes of the cluster changed. */
    void topology(Topology topology);

    /** The node took the types: turns come from now on. */
    void sessionReady(HostSession session);

    /** The session is over. */
    void sessionEnded(HostSession session, CallException cause, boolean hopeless);
  }

  private final Loop loop;
  private final HostSettings settings;
  private final Executor executor;
  private final Executor callbackRunner;
  private final Owner owner;
  private final ClientCall<ConnectRequest, ConnectResponse> call;
  private final FrameOutbox outbox;
  private final Lanes lanes;
  private final RecentIds seen = new RecentIds(TURN_IDS_REMEMBERED);
  private final Map<Long, RunningTurn> turns = new ConcurrentHashMap<>();
  private volatile Limits limits = Limits.getDefaultInstance();
  private volatile boolean closed;
  /** True once no more turns come, so that the session ends when the last one is answered. */
  private volatile boolean lastTurnsCame;
  private int credits;
  private boolean welcomed;
  private boolean registered;
  private boolean drainAsked;
  private boolean leaving;
  private boolean halfClosed;

  HostSession(
      Link link,
      HostSettings settings,
      Executor executor,
      Executor callbackRunner,
      Owner owner,
      int credits) {
    this.loop = link.loop();
    this.settings = settings;
    this.executor = executor;
    this.callbackRunner = callbackRunner;
    this.owner = owner;
    this.credits = credits;
    this.call = link.channel().newCall(HostServiceMethods.CONNECT, CallOptions.DEFAULT);
    this.outbox = new FrameOutbox(loop, call);
    this.lanes = new Lanes(executor);
  }

  // === life, on the event loop ===

  void open() {
    call.start(new Listener(), new Metadata());
    call.request(MESSAGES_AHEAD);
    outbox.add(HostFrame.newBuilder().setHello(settings.hello(credits)).build());
    loop.later(this::abandonIfSilent, WELCOME_MS_MAX);
  }

  private void abandonIfSilent() {
    if (!welcomed) {
      call.cancel("the node did not answer Hello within " + WELCOME_MS_MAX + " ms", null);
    }
  }

  /** Sets how many turns may come at a time. */
  void credits(int turns) {
    if (turns != credits && !closed) {
      credits = turns;
      outbox.add(HostFrame.newBuilder().setCredit(Credit.newBuilder().setTurns(turns)).build());
    }
  }

  /** Asks the node to send no more turns, and ends the session when those that came are answered. */
  void drain() {
    if (!registered) {
      abandon();
      return;
    }
    drainAsked = true;
    outbox.add(HostFrame.newBuilder().setDrain(Drain.newBuilder().setPermanent(false)).build());
  }

  /** Ends the session at once. */
  void abandon() {
    call.cancel("the host gives up the session", null);
  }

  boolean isClosed() {
    return closed;
  }

  private void end(CallException cause, boolean hopeless) {
    if (closed) {
      return;
    }
    closed = true;
    outbox.close();
    CallException lost =
        new CallException(
            ErrorCode.UNAVAILABLE,
            "SESSION_LOST",
            "the session with the node ended while the turn ran; the node runs the turn again",
            RetryAdvice.SAME_ID);
    List<RunningTurn> left = new ArrayList<>(turns.values());
    turns.clear();
    left.forEach(turn -> turn.abort(lost));
    owner.sessionEnded(this, cause, hopeless);
  }

  private void endWhenAnswered() {
    if (lastTurnsCame && turns.isEmpty() && !halfClosed && !closed) {
      halfClosed = true;
      outbox.thenWhenEmpty(
          () -> {
            call.halfClose();
            loop.later(this::abandon, HALF_CLOSED_MS_MAX);
            if (leaving && !drainAsked) {
              // The node goes; the host need not wait for that to look for the next session.
              end(Statuses.exception(Status.OK.withDescription("the node is leaving"), null), false);
            }
          });
    }
  }

  // === frames, on the event loop ===

  private void handle(NodeFrame frame) {
    switch (frame.getFrameCase()) {
      case RUN -> run(frame.getRun());
      case CALL_RESULT -> callResult(frame.getCallResult());
      case PING ->
          outbox.add(
              HostFrame.newBuilder().setPong(Pong.newBuilder().setNonce(frame.getPing().getNonce())).build());
      case CANCEL -> {
        RunningTurn turn = turns.get(frame.getCancel().getTurnId());
        if (turn != null) {
          turn.abort(new CancellationException("the turn is cancelled"));
        }
      }
      case WELCOME -> welcome(frame.getWelcome());
      case REGISTERED -> registered(frame.getRegistered());
      case DRAINED -> {
        if (drainAsked) {
          lastTurnsCame = true;
          endWhenAnswered();
        }
      }
      case DRAINING -> {
        leaving = true;
        lastTurnsCame = true;
        endWhenAnswered();
      }
      case TOPOLOGY -> owner.topology(frame.getTopology());
      default -> {
        // Deactivated: no state is cached here. Anything else is a frame of a later minor version, which a host
        // ignores.
      }
    }
  }

  private void welcome(Welcome welcome) {
    if (welcomed) {
      return;
    }
    welcomed = true;
    if (welcome.getProtocolMajor() != Version.PROTOCOL_MAJOR) {
      refuse("PROTOCOL_VERSION", "the node speaks protocol " + welcome.getProtocolMajor() + ", this SDK "
          + Version.PROTOCOL_MAJOR + "; use versions that fit together");
      return;
    }
    if (!owner.welcomed(this, welcome)) {
      end(Statuses.exception(Status.OK.withDescription("the node is served over another session"), null), false);
      abandon();
      return;
    }
    limits = welcome.getLimits();
    outbox.limit(limits.getMessageBytesMax());
    outbox.add(HostFrame.newBuilder().setRegister(settings.register(REGISTER_ID)).build());
  }

  private void refuse(String reason, String message) {
    CallException cause =
        new CallException(ErrorCode.FAILED_PRECONDITION, reason, message, RetryAdvice.NEVER);
    end(cause, true);
    abandon();
  }

  private void registered(Registered answer) {
    if (registered || answer.getRegisterId() != REGISTER_ID) {
      return;
    }
    if (answer.hasError()) {
      CallException error = Wire.exception(answer.getError());
      end(error, error.retry() == RetryAdvice.NEVER);
      abandon();
      return;
    }
    registered = true;
    owner.sessionReady(this);
  }

  private void run(TurnRun run) {
    if (run.hasStateToken() && run.getTurnsCount() > 0) {
      // No state is kept here between runs, which Hello said; the node sends the run again in full.
      long first = run.getTurns(0).getTurnId();
      outbox.add(
          HostFrame.newBuilder().setStateMissing(StateMissing.newBuilder().setTurnId(first)).build());
      return;
    }
    List<RunningTurn> fresh = new ArrayList<>(run.getTurnsCount());
    for (Turn turn : run.getTurnsList()) {
      if (seen.add(turn.getTurnId())) {
        RunningTurn running = new RunningTurn(turn, callbackRunner);
        turns.put(turn.getTurnId(), running);
        fresh.add(running);
      }
    }
    if (fresh.isEmpty()) {
      return;
    }
    TurnEngine<?, ?> engine = settings.engines().get(run.getActor().getType());
    if (engine == null) {
      String message = "this host does not run actor type \"" + run.getActor().getType() + "\"";
      var error = Wire.refusal(ErrorCode.NOT_FOUND, "UNKNOWN_ACTION", message);
      fresh.forEach(turn -> answer(turn, new TurnOutcome.Failed(error, null)));
      return;
    }
    start(engine, run, fresh);
  }

  private <S> void start(TurnEngine<?, S> engine, TurnRun run, List<RunningTurn> fresh) {
    Runnable whenOver = () -> lanes.over(run.getActor(), run.getActivationId());
    lanes.submit(
        run.getActor(),
        run.getActivationId(),
        () -> new ActorRuns<>(this, executor, engine, run, fresh, whenOver).proceed());
  }

  private void callResult(TurnCallResult result) {
    RunningTurn turn = turns.get(result.getTurnId());
    CompletableFuture<Payload> waiting = turn == null ? null : turn.arrived(result.getCallIndex());
    if (waiting == null) {
      return;
    }
    if (result.hasError()) {
      waiting.completeExceptionally(Wire.exception(result.getError()));
    } else {
      waiting.complete(result.getReply());
    }
  }

  // === answers, on any thread ===

  /** Answers a turn. Gives back the outcome that was really sent: another one if it was too large to send. */
  TurnOutcome answer(RunningTurn turn, TurnOutcome outcome) {
    TurnOutcome fitting = ResultLimits.fitting(outcome, limits);
    if (!closed && turns.remove(turn.turn().getTurnId()) != null) {
      outbox.add(HostFrame.newBuilder().setResult(result(turn, fitting)).build());
      if (lastTurnsCame) {
        loop.onLoop(this::endWhenAnswered);
      }
    }
    return fitting;
  }

  private static TurnResult result(RunningTurn turn, TurnOutcome outcome) {
    TurnResult.Builder result = TurnResult.newBuilder().setTurnId(turn.turn().getTurnId());
    if (outcome instanceof TurnOutcome.Replied replied) {
      result.setReply(replied.reply());
      if (replied.state() != null) {
        result.setState(replied.state());
      }
      if (replied.tags() != null) {
        result.setTags(Tags.newBuilder().putAllValues(replied.tags()));
      }
      if (replied.workflow() != null) {
        result.setWorkflow(replied.workflow());
      }
    } else if (outcome instanceof TurnOutcome.Failed failed) {
      result.setError(failed.error());
    } else {
      result.setCancelled(Cancelled.getDefaultInstance());
    }
    return result.build();
  }

  /** Makes a call inside a turn. */
  CompletableFuture<Payload> call(RunningTurn turn, CallPort.TurnCallOut out) {
    CompletableFuture<Payload> reply = turn.expect(out.index());
    if (!reply.isDone()) {
      TurnCall.Builder message =
          TurnCall.newBuilder()
              .setTurnId(turn.turn().getTurnId())
              .setCallIndex(out.index())
              .setTarget(Wire.actorId(out.target(), settings.system()))
              .setAction(out.action())
              .setTimeoutMs((int) Math.min(out.timeout().toMillis(), 0xFFFF_FFFFL))
              .putAllMetadata(out.metadata())
              .setRequestId(out.requestId());
      if (!out.argument().getContentType().isEmpty()) {
        message.setPayload(out.argument());
      }
      outbox.add(HostFrame.newBuilder().setCall(message).build());
    }
    return reply;
  }

  private final class Listener extends ClientCall.Listener<ConnectResponse> {
    @Override
    public void onMessage(ConnectResponse message) {
      loop.onLoop(
          () -> {
            if (closed) {
              return;
            }
            for (NodeFrame frame : message.getFramesList()) {
              handle(frame);
            }
            call.request(1);
          });
    }

    @Override
    public void onReady() {
      loop.onLoop(outbox::flush);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      loop.onLoop(
          () -> {
            CallException cause = Statuses.exception(status, trailers);
            LOG.log(System.Logger.Level.DEBUG, "session closed: {0}", cause);
            end(cause, !registered && hopeless(status));
          });
    }

    /** Refusals that would come again, as opposed to a node that cannot be reached now. */
    private static boolean hopeless(Status status) {
      return switch (status.getCode()) {
        case FAILED_PRECONDITION, INVALID_ARGUMENT, PERMISSION_DENIED, UNAUTHENTICATED -> true;
        default -> false;
      };
    }
  }
}
