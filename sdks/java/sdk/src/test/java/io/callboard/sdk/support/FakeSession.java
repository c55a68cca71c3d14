package io.callboard.sdk.support;

import io.callboard.host.v1.ConnectRequest;
import io.callboard.host.v1.ConnectResponse;
import io.callboard.host.v1.Hello;
import io.callboard.host.v1.HostFrame;
import io.callboard.host.v1.NodeFrame;
import io.callboard.host.v1.Register;
import io.callboard.host.v1.Registered;
import io.callboard.host.v1.Turn;
import io.callboard.host.v1.TurnResult;
import io.callboard.host.v1.TurnRun;
import io.callboard.host.v1.Welcome;
import io.callboard.type.v1.ActorId;
import io.callboard.type.v1.Payload;
import com.google.protobuf.ByteString;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.Status;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The node's side of one host session. */
public final class FakeSession {
  private final ServerCall<ConnectRequest, ConnectResponse> call;
  private final BlockingQueue<HostFrame> frames = new LinkedBlockingQueue<>();
  private final CountDownLatch halfClosed = new CountDownLatch(1);
  private volatile int messages;

  FakeSession(ServerCall<ConnectRequest, ConnectResponse> call) {
    this.call = call;
  }

  ServerCall.Listener<ConnectRequest> listener() {
    return new ServerCall.Listener<>() {
      @Override
      public void onMessage(ConnectRequest message) {
        messages++;
        frames.addAll(message.getFramesList());
        call.request(1);
      }

      @Override
      public void onHalfClose() {
        halfClosed.countDown();
      }
    };
  }

  /** Plays the beginning: Hello, Welcome, Register, Registered. Answers the Hello. */
  public Hello begin() throws InterruptedException {
    Hello hello = frame().getHello();
    register(Welcome.newBuilder().setProtocolMajor(1).setSessionId(1));
    return hello;
  }

  /** Plays the beginning after Hello with this Welcome. Answers the Register. */
  public Register register(Welcome.Builder welcome) throws InterruptedException {
    send(NodeFrame.newBuilder().setWelcome(welcome));
    Register register = frame().getRegister();
    send(
        NodeFrame.newBuilder()
            .setRegistered(Registered.newBuilder().setRegisterId(register.getRegisterId())));
    return register;
  }

  /** The next frame of the host. */
  public HostFrame frame() throws InterruptedException {
    return FakeNode.patiently(frames, "a frame of the host");
  }

  /** The next frame, which must be a result. */
  public TurnResult result() throws InterruptedException {
    HostFrame frame = frame();
    if (!frame.hasResult()) {
      throw new AssertionError("expected a result, got " + frame);
    }
    return frame.getResult();
  }

  /** True if no frame comes for a while. */
  public boolean quietFor(long milliseconds) throws InterruptedException {
    HostFrame frame = frames.poll(milliseconds, TimeUnit.MILLISECONDS);
    if (frame != null) {
      frames.add(frame);
    }
    return frame == null;
  }

  /** How many messages have come. */
  public int messages() {
    return messages;
  }

  /** Sends frames in one message. */
  public void send(NodeFrame.Builder... builders) {
    ConnectResponse.Builder message = ConnectResponse.newBuilder();
    for (NodeFrame.Builder builder : builders) {
      message.addFrames(builder);
    }
    call.sendMessage(message.build());
  }

  /** Waits until the host closes its side, then closes the other. */
  public boolean awaitEnd() throws InterruptedException {
    boolean ended = halfClosed.await(FakeNode.PATIENCE_S, TimeUnit.SECONDS);
    close(Status.OK);
    return ended;
  }

  /** Ends the session. */
  public void close(Status status) {
    call.close(status, new Metadata());
  }

  /** A run of turns of one actor, each given as action and JSON argument. */
  public static NodeFrame.Builder run(String type, String key, long firstTurn, String... actions) {
    return run(type, key, 1, firstTurn, actions);
  }

  /** A run of turns of one activation. */
  public static NodeFrame.Builder run(
      String type, String key, long activation, long firstTurn, String... actions) {
    TurnRun.Builder run =
        TurnRun.newBuilder()
            .setActor(ActorId.newBuilder().setSystem("default").setType(type).setKey(key))
            .setActivationId(activation)
            .setEpoch(3);
    for (int i = 0; i < actions.length; i += 2) {
      long id = firstTurn + i / 2;
      run.addTurns(
          Turn.newBuilder()
              .setTurnId(id)
              .setAction(actions[i])
              .setPayload(json(actions[i + 1]))
              .setRequestId("r" + id)
              .setAttempt(1)
              .setTimeoutMs(30_000)
              .setRevision(id));
    }
    return NodeFrame.newBuilder().setRun(run);
  }

  /** A JSON payload. */
  public static Payload json(String text) {
    return Payload.newBuilder()
        .setContentType("application/json")
        .setData(ByteString.copyFromUtf8(text))
        .build();
  }

  /** The text in a payload. */
  public static String text(Payload payload) {
    return payload.getData().toStringUtf8();
  }
}
