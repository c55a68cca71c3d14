package io.callboard.sdk.support;

import com.google.protobuf.ByteString;
import io.callboard.host.v1.ConnectRequest;
import io.callboard.host.v1.ConnectResponse;
import io.callboard.host.v1.HostFrame;
import io.callboard.host.v1.HostServiceMethods;
import io.callboard.host.v1.NodeFrame;
import io.callboard.host.v1.Registered;
import io.callboard.host.v1.Turn;
import io.callboard.host.v1.TurnRun;
import io.callboard.host.v1.Welcome;
import io.callboard.sdk.Action;
import io.callboard.sdk.ActorDefinition;
import io.callboard.sdk.Actor;
import io.callboard.sdk.Codec;
import io.callboard.sdk.Host;
import io.callboard.type.v1.ActorId;
import io.callboard.type.v1.Payload;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import java.net.InetSocketAddress;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Measures how many echo turns a host runs: {@code node PORT WINDOW ROUNDS} in one process, {@code host} with
 * CALLBOARD_SERVER in another. Each turn carries 200 bytes of argument and 200 bytes of state both ways.
 */
public final class EchoBench {
  private static final int ACTORS = 1_000;
  private static final long ROUND_NANOS = 5_000_000_000L;
  private static final Payload BYTES =
      Payload.newBuilder()
          .setContentType("application/octet-stream")
          .setData(ByteString.copyFrom(new byte[200]))
          .build();

  private EchoBench() {}

  /** Runs one side. */
  public static void main(String[] arguments) throws Exception {
    if (arguments[0].equals("host")) {
      Host.builder().actor(Echo::new).start().awaitShutdown();
      return;
    }
    int window = Integer.parseInt(arguments[2]);
    CountDownLatch over = new CountDownLatch(1);
    ServerServiceDefinition service =
        ServerServiceDefinition.builder("callboard.host.v1.HostService")
            .addMethod(
                HostServiceMethods.CONNECT,
                (call, headers) -> {
                  call.sendHeaders(new Metadata());
                  call.request(4);
                  long rounds = Long.parseLong(arguments[3]);
                  return new Driver(call, window, rounds, over);
                })
            .build();
    var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[1]));
    var server = NettyServerBuilder.forAddress(address).directExecutor().addService(service).build().start();
    over.await();
    server.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }

  /** Answers its argument, and keeps it as its state. */
  private static final class Echo implements Actor<Payload> {
    private static final Codec<Payload> RAW =
        new Codec<>() {
          @Override
          public Payload encode(Payload value) {
            return value;
          }

          @Override
          public Payload decode(Payload payload) {
            return payload;
          }

          @Override
          public String typeName() {
            return "";
          }

          @Override
          public boolean mutable() {
            return false;
          }
        };

    private static final ActorDefinition<Echo, Payload> DEFINITION =
        ActorDefinition.<Echo, Payload>builder("Echo", RAW)
            .initial(echo -> Payload.getDefaultInstance())
            .action(
                new Action<>("echo", RAW, RAW),
                (echo, context, argument) -> {
                  context.update(state -> state.toBuilder().setData(argument.getData()).build());
                  return context.reply(argument);
                })
            .build();

    @Override
    public ActorDefinition<Echo, Payload> definition() {
      return DEFINITION;
    }
  }

  /** Keeps a number of turns in flight. */
  private static final class Driver extends ServerCall.Listener<ConnectRequest> {
    private final ServerCall<ConnectRequest, ConnectResponse> call;
    private final int window;
    private long rounds;
    private final CountDownLatch over;
    private long turns;
    private long before;
    private long started;

    Driver(
        ServerCall<ConnectRequest, ConnectResponse> call, int window, long rounds, CountDownLatch over) {
      this.call = call;
      this.window = window;
      this.rounds = rounds;
      this.over = over;
    }

    @Override
    public void onMessage(ConnectRequest message) {
      ConnectResponse.Builder answer = ConnectResponse.newBuilder();
      int fresh = 0;
      for (HostFrame frame : message.getFramesList()) {
        switch (frame.getFrameCase()) {
          case HELLO -> answer.addFrames(NodeFrame.newBuilder().setWelcome(Welcome.newBuilder().setProtocolMajor(1)));
          case REGISTER -> {
            answer.addFrames(NodeFrame.newBuilder().setRegistered(Registered.newBuilder().setRegisterId(1)));
            started = System.nanoTime();
            fresh += window;
          }
          case RESULT -> fresh++;
          default -> throw new AssertionError(frame);
        }
      }
      for (int i = 0; i < fresh; i++) {
        answer.addFrames(turn(++turns));
      }
      call.sendMessage(answer.build());
      call.request(1);
      long elapsed = System.nanoTime() - started;
      if (started != 0 && elapsed > ROUND_NANOS) {
        System.out.printf("window %d: %,d turns/s%n", window, (turns - before) * 1_000_000_000L / elapsed);
        started += elapsed;
        before = turns;
        if (--rounds == 0) {
          over.countDown();
        }
      }
    }

    private static NodeFrame turn(long id) {
      return NodeFrame.newBuilder()
          .setRun(
              TurnRun.newBuilder()
                  .setActor(ActorId.newBuilder().setSystem("default").setType("Echo").setKey("k" + id % ACTORS))
                  .setActivationId(id % ACTORS)
                  .setEpoch(1)
                  .setStateFull(BYTES)
                  .addTurns(
                      Turn.newBuilder()
                          .setTurnId(id)
                          .setAction("echo")
                          .setPayload(BYTES)
                          .setRequestId("01900000-0000-7000-8000-000000000000")
                          .setAttempt(1)
                          .setTimeoutMs(30_000)
                          .setRevision(id)))
          .build();
    }
  }
}
