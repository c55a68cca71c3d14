package io.callboard.examples.bank;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.callboard.examples.bank.v1.AccountDef;
import io.callboard.examples.bank.v1.AccountState;
import io.callboard.examples.bank.v1.ExecuteRequest;
import io.callboard.examples.bank.v1.ExecuteResponse;
import io.callboard.examples.bank.v1.TransferDef;
import io.callboard.examples.bank.v1.TransferState;
import io.callboard.examples.bank.v1.TransferStatus;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.RetryAdvice;
import io.callboard.sdk.testkit.Fault;
import io.callboard.sdk.testkit.TestCall;
import io.callboard.sdk.testkit.TestKit;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Transfers over real accounts, each in a kit of its own. */
class TransferTest {
  private static final ExecuteRequest ORDER =
      ExecuteRequest.newBuilder().setFrom("ann").setTo("bob").setAmountCents(30).build();

  private final Map<String, TestKit<AccountState>> accounts =
      Map.of("ann", account("ann", 100, true), "bob", account("bob", 50, true));
  private final TestKit<TransferState> transfer = TestKit.of(Transfer::new, "t1");
  /** How many more deposits are lost on their way. */
  private int depositsLost;

  TransferTest() {
    transfer.stub(
        AccountDef.TYPE,
        AccountDef.WITHDRAW,
        (key, request) -> accounts.get(key).call(AccountDef.WITHDRAW, request));
    transfer.stub(
        AccountDef.TYPE,
        AccountDef.DEPOSIT,
        (key, request) -> {
          if (depositsLost > 0) {
            depositsLost--;
            throw new CallException(ErrorCode.UNAVAILABLE, "NO_HOST", "nobody home", RetryAdvice.SAFE);
          }
          return accounts.get(key).call(AccountDef.DEPOSIT, request);
        });
  }

  private static TestKit<AccountState> account(String key, long cents, boolean open) {
    return TestKit.of(Account::new, key)
        .withState(AccountState.newBuilder().setOpen(open).setBalanceCents(cents).build());
  }

  private void assertBalances(long ann, long bob) {
    assertEquals(ann, accounts.get("ann").state().getBalanceCents());
    assertEquals(bob, accounts.get("bob").state().getBalanceCents());
  }

  @Test
  void moneyMovesOnceHoweverOftenTheTransferIsExecuted() {
    for (int i = 0; i < 3; i++) {
      ExecuteResponse outcome = transfer.call(TransferDef.EXECUTE, ORDER);
      assertEquals(TransferStatus.TRANSFER_STATUS_DONE, outcome.getStatus());
    }
    assertBalances(70, 80);
    assertEquals(
        List.of("Account/ann Withdraw", "Account/bob Deposit"),
        transfer.calls().stream().map(Object::toString).toList());
  }

  @Test
  void aRefusedWithdrawalMovesNothing() {
    ExecuteRequest tooMuch = ORDER.toBuilder().setAmountCents(101).build();
    ExecuteResponse outcome = transfer.call(TransferDef.EXECUTE, tooMuch);
    assertEquals(TransferStatus.TRANSFER_STATUS_REFUSED, outcome.getStatus());
    assertEquals("INSUFFICIENT_FUNDS", outcome.getReason());
    assertBalances(100, 50);
  }

  @Test
  void aRefusedDepositGivesTheMoneyBack() {
    accounts.get("bob").withState(AccountState.newBuilder().setBalanceCents(50).build());
    ExecuteResponse outcome = transfer.call(TransferDef.EXECUTE, ORDER);
    assertEquals(TransferStatus.TRANSFER_STATUS_REFUNDED, outcome.getStatus());
    assertEquals("ACCOUNT_CLOSED", outcome.getReason());
    assertBalances(100, 50);
  }

  @Test
  void aTransferThatFailedHalfWayIsResumedWithoutDoubling() throws Exception {
    depositsLost = 3;
    Bank bank = new Bank(transfer, Duration.ZERO);
    ExecuteResponse outcome = bank.transfer("t1", "ann", "bob", 30);
    assertEquals(TransferStatus.TRANSFER_STATUS_DONE, outcome.getStatus());
    assertBalances(70, 80);
  }

  @Test
  void aLostHostOrReplyMovesTheMoneyOnce() {
    transfer.call(TransferDef.EXECUTE, ORDER, TestCall.plain().withFault(Fault.BEFORE_COMMIT));
    TestCall lostReply = TestCall.plain().withRequestId("r1").withFault(Fault.AFTER_COMMIT);
    assertThrows(CallException.class, () -> transfer.call(TransferDef.EXECUTE, ORDER, lostReply));
    ExecuteResponse outcome =
        transfer.call(TransferDef.EXECUTE, ORDER, TestCall.plain().withRequestId("r1"));
    assertEquals(TransferStatus.TRANSFER_STATUS_DONE, outcome.getStatus());
    assertBalances(70, 80);
  }

  @Test
  void anotherOrderUnderTheSameIdIsRefused() {
    transfer.call(TransferDef.EXECUTE, ORDER);
    ExecuteRequest other = ORDER.toBuilder().setAmountCents(1).build();
    ActorError error =
        assertThrows(ActorError.class, () -> transfer.call(TransferDef.EXECUTE, other));
    assertEquals("TRANSFER_REUSED", error.reason());
  }
}
