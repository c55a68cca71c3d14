package io.callboard.examples.bank;

import io.callboard.examples.bank.v1.AccountActor;
import io.callboard.examples.bank.v1.AccountState;
import io.callboard.examples.bank.v1.BalanceRequest;
import io.callboard.examples.bank.v1.BalanceResponse;
import io.callboard.examples.bank.v1.CloseRequest;
import io.callboard.examples.bank.v1.CloseResponse;
import io.callboard.examples.bank.v1.DepositRequest;
import io.callboard.examples.bank.v1.DepositResponse;
import io.callboard.examples.bank.v1.OpenRequest;
import io.callboard.examples.bank.v1.OpenResponse;
import io.callboard.examples.bank.v1.Operation;
import io.callboard.examples.bank.v1.WithdrawRequest;
import io.callboard.examples.bank.v1.WithdrawResponse;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.Context;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.ReadContext;
import io.callboard.sdk.Reply;

/**
 * An account. Callboard applies a call once per request id; the account itself does an operation once per operation id,
 * which also covers callers that come back long after, with a new request id.
 */
public final class Account extends AccountActor {
  /** How many operations an account remembers. */
  static final int OPERATIONS_REMEMBERED = 1_000;

  @Override
  protected Reply<OpenResponse> open(Context<AccountState> context, OpenRequest request) {
    context.update(state -> state.toBuilder().setOpen(true).build());
    return context.reply(OpenResponse.getDefaultInstance());
  }

  @Override
  protected Reply<DepositResponse> deposit(Context<AccountState> context, DepositRequest request) {
    if (!request.getRefund()) {
      requireOpenUnlessDone(context, request.getOperationId());
    }
    change(context, request.getOperationId(), positive(request.getAmountCents()));
    return context.reply(
        DepositResponse.newBuilder().setBalanceCents(context.state().getBalanceCents()).build());
  }

  @Override
  protected Reply<WithdrawResponse> withdraw(Context<AccountState> context, WithdrawRequest request) {
    requireOpenUnlessDone(context, request.getOperationId());
    change(context, request.getOperationId(), -positive(request.getAmountCents()));
    return context.reply(
        WithdrawResponse.newBuilder().setBalanceCents(context.state().getBalanceCents()).build());
  }

  @Override
  protected Reply<CloseResponse> close(Context<AccountState> context, CloseRequest request) {
    if (context.state().getBalanceCents() != 0) {
      throw new ActorError(
          ErrorCode.FAILED_PRECONDITION, "ACCOUNT_NOT_EMPTY", "withdraw the balance before closing");
    }
    context.update(state -> state.toBuilder().setOpen(false).build());
    return context.reply(CloseResponse.getDefaultInstance());
  }

  @Override
  protected Reply<BalanceResponse> balance(ReadContext<AccountState> context, BalanceRequest request) {
    AccountState state = context.state();
    return context.reply(
        BalanceResponse.newBuilder()
            .setBalanceCents(state.getBalanceCents())
            .setOpen(state.getOpen())
            .build());
  }

  private static long positive(long amountCents) {
    if (amountCents <= 0) {
      throw new ActorError(
          ErrorCode.INVALID_ARGUMENT, "INVALID_AMOUNT", "an amount must be positive, not " + amountCents);
    }
    return amountCents;
  }

  private static void requireOpenUnlessDone(Context<AccountState> context, String operationId) {
    AccountState state = context.state();
    if (!state.getOpen() && done(state, operationId) == null) {
      throw new ActorError(
          ErrorCode.FAILED_PRECONDITION, "ACCOUNT_CLOSED", "account " + context.self().key() + " is not open");
    }
  }

  private static Operation done(AccountState state, String operationId) {
    if (operationId.isEmpty()) {
      return null;
    }
    return state.getOperationsList().stream()
        .filter(operation -> operation.getId().equals(operationId))
        .findFirst()
        .orElse(null);
  }

  /** Changes the balance, unless the operation was done already. */
  private static void change(Context<AccountState> context, String operationId, long changeCents) {
    AccountState state = context.state();
    Operation done = done(state, operationId);
    if (done != null) {
      if (done.getChangeCents() != changeCents) {
        throw new ActorError(
            ErrorCode.FAILED_PRECONDITION,
            "OPERATION_ID_REUSED",
            "operation " + operationId + " was done with another amount");
      }
      return;
    }
    long balance = Math.addExact(state.getBalanceCents(), changeCents);
    if (balance < 0) {
      throw new ActorError(
              ErrorCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", "there is not enough money in the account")
          .with("balance_cents", Long.toString(state.getBalanceCents()));
    }
    AccountState.Builder next = state.toBuilder().setBalanceCents(balance);
    if (!operationId.isEmpty()) {
      if (next.getOperationsCount() == OPERATIONS_REMEMBERED) {
        next.removeOperations(0);
      }
      next.addOperations(Operation.newBuilder().setId(operationId).setChangeCents(changeCents));
    }
    context.setState(next.build());
  }
}
