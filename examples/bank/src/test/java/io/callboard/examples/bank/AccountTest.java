package io.callboard.examples.bank;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.callboard.examples.bank.v1.AccountClient;
import io.callboard.examples.bank.v1.AccountRef;
import io.callboard.examples.bank.v1.AccountState;
import io.callboard.examples.bank.v1.CloseRequest;
import io.callboard.examples.bank.v1.DepositRequest;
import io.callboard.examples.bank.v1.OpenRequest;
import io.callboard.examples.bank.v1.WithdrawRequest;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.testkit.TestKit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class AccountTest {
  private final TestKit<AccountState> kit = TestKit.of(Account::new, "ann");
  private final AccountRef account = AccountClient.of(kit).ref("ann");

  @BeforeEach
  void open() {
    account.open(OpenRequest.getDefaultInstance());
    account.deposit(deposit(100, ""));
  }

  @Test
  void anAccountNeverGoesBelowZero() {
    ActorError error = assertThrows(ActorError.class, () -> account.withdraw(withdraw(101, "")));
    assertEquals("INSUFFICIENT_FUNDS", error.reason());
    assertEquals("100", error.metadata().get("balance_cents"));
    assertEquals(100, kit.state().getBalanceCents());
  }

  @Test
  void anOperationIsDoneOnceWhateverTheRequestId() {
    assertEquals(70, account.withdraw(withdraw(30, "t1/withdraw")).getBalanceCents());
    assertEquals(70, account.withdraw(withdraw(30, "t1/withdraw")).getBalanceCents());
    ActorError error =
        assertThrows(ActorError.class, () -> account.withdraw(withdraw(31, "t1/withdraw")));
    assertEquals("OPERATION_ID_REUSED", error.reason());
  }

  @Test
  void aClosedAccountTakesRefundsOnly() {
    account.withdraw(withdraw(100, ""));
    account.close(CloseRequest.getDefaultInstance());
    ActorError error = assertThrows(ActorError.class, () -> account.deposit(deposit(5, "t1/deposit")));
    assertEquals("ACCOUNT_CLOSED", error.reason());
    var refund = deposit(5, "t1/refund").toBuilder().setRefund(true).build();
    assertEquals(5, account.deposit(refund).getBalanceCents());
  }

  @Test
  void anAccountWithMoneyCannotBeClosed() {
    ActorError error =
        assertThrows(ActorError.class, () -> account.close(CloseRequest.getDefaultInstance()));
    assertEquals("ACCOUNT_NOT_EMPTY", error.reason());
  }

  @Test
  void onlyTheNewestOperationsAreRemembered() {
    for (int i = 0; i < Account.OPERATIONS_REMEMBERED + 10; i++) {
      account.deposit(deposit(1, "op" + i));
    }
    assertEquals(Account.OPERATIONS_REMEMBERED, kit.state().getOperationsCount());
    assertEquals("op10", kit.state().getOperations(0).getId());
  }

  private static DepositRequest deposit(long cents, String operationId) {
    return DepositRequest.newBuilder().setAmountCents(cents).setOperationId(operationId).build();
  }

  private static WithdrawRequest withdraw(long cents, String operationId) {
    return WithdrawRequest.newBuilder().setAmountCents(cents).setOperationId(operationId).build();
  }
}
