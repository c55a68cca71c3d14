package io.callboard.examples.bank;

import io.callboard.examples.bank.v1.AccountClient;
import io.callboard.examples.bank.v1.AccountRef;
import io.callboard.examples.bank.v1.BalanceRequest;
import io.callboard.examples.bank.v1.DepositRequest;
import io.callboard.examples.bank.v1.ExecuteRequest;
import io.callboard.examples.bank.v1.ExecuteResponse;
import io.callboard.examples.bank.v1.OpenRequest;
import io.callboard.examples.bank.v1.TransferClient;
import io.callboard.sdk.CallException;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.Caller;
import io.callboard.sdk.ErrorCode;
import java.time.Duration;

/** The bank as its customers' programs see it. */
public final class Bank {
  private static final int ROUNDS_MAX = 100;

  private final Caller caller;
  private final Duration pause;

  /**
   * A bank.
   *
   * @param caller calls the actors
   * @param pause how long to wait before a transfer that failed is executed again
   */
  public Bank(Caller caller, Duration pause) {
    this.caller = caller;
    this.pause = pause;
  }

  /**
   * Opens an account with money in it. May be repeated: the deposit is one operation.
   *
   * @param key the account
   * @param cents what to put in
   */
  public void open(String key, long cents) {
    AccountRef account = AccountClient.of(caller).ref(key);
    account.open(OpenRequest.getDefaultInstance());
    account.deposit(
        DepositRequest.newBuilder().setAmountCents(cents).setOperationId(key + "/first").build());
  }

  /**
   * What is in an account.
   *
   * @param key the account
   * @return cents
   */
  public long balance(String key) {
    return AccountClient.of(caller).ref(key).balance(BalanceRequest.getDefaultInstance()).getBalanceCents();
  }

  /**
   * Moves money, and does not rest until it is known whether it was moved. May be repeated with the same id, by this
   * program or by another one after a crash: the transfer happens once.
   *
   * <p>Lost replies and lost nodes are covered by the client, which sends a call again under its request id. What is left
   * are executions that ended in an error half way, and those are executed again.
   *
   * @param id names the transfer
   * @param from the account that pays
   * @param to the account that gets the money
   * @param cents how much
   * @return how it ended
   * @throws InterruptedException if the thread is interrupted; the transfer may then be half way, and can be resumed
   */
  public ExecuteResponse transfer(String id, String from, String to, long cents)
      throws InterruptedException {
    ExecuteRequest order =
        ExecuteRequest.newBuilder().setFrom(from).setTo(to).setAmountCents(cents).build();
    for (int round = 1; ; round++) {
      try {
        // A round that failed is a stored outcome of its request id, so each round needs its own.
        CallOptions options = CallOptions.DEFAULT.withIdempotencyKey(id + "/" + round);
        return TransferClient.of(caller).ref(id).execute(order, options);
      } catch (CallException e) {
        if (round == ROUNDS_MAX || e.code() == ErrorCode.FAILED_PRECONDITION) {
          throw e;
        }
        Thread.sleep(pause.toMillis());
      }
    }
  }
}
