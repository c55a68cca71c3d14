package io.callboard.examples.bank;

import io.callboard.examples.bank.v1.AccountClient;
import io.callboard.examples.bank.v1.DepositRequest;
import io.callboard.examples.bank.v1.ExecuteRequest;
import io.callboard.examples.bank.v1.ExecuteResponse;
import io.callboard.examples.bank.v1.TransferActor;
import io.callboard.examples.bank.v1.TransferState;
import io.callboard.examples.bank.v1.TransferStatus;
import io.callboard.examples.bank.v1.WithdrawRequest;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.Context;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.Reply;

/**
 * A transfer: withdraw, deposit, and if the deposit is refused, give the money back.
 *
 * <p>The calls inside the turn get their request ids from the turn, so a turn that is run again after a crash makes none
 * of them twice. If an account cannot be reached, the turn fails and remembers nothing; the operation ids, which come
 * from the transfer's key, then keep the next execution from moving money that was moved already.
 */
public final class Transfer extends TransferActor {
  @Override
  protected Reply<ExecuteResponse> execute(Context<TransferState> context, ExecuteRequest order) {
    TransferState state = context.state();
    if (state.hasOutcome()) {
      if (!state.getOrder().equals(order)) {
        throw new ActorError(
            ErrorCode.FAILED_PRECONDITION,
            "TRANSFER_REUSED",
            "transfer " + context.self().key() + " was executed with another order");
      }
      return context.reply(state.getOutcome());
    }
    ExecuteResponse outcome = move(context, order);
    context.setState(TransferState.newBuilder().setOrder(order).setOutcome(outcome).build());
    return context.reply(outcome);
  }

  private static ExecuteResponse move(Context<TransferState> context, ExecuteRequest order) {
    AccountClient accounts = AccountClient.of(context);
    String id = context.self().key();
    try {
      accounts
          .ref(order.getFrom())
          .withdraw(
              WithdrawRequest.newBuilder()
                  .setAmountCents(order.getAmountCents())
                  .setOperationId(id + "/withdraw")
                  .build());
    } catch (ActorError refusal) {
      return outcome(TransferStatus.TRANSFER_STATUS_REFUSED, refusal.reason());
    }
    try {
      accounts.ref(order.getTo()).deposit(deposit(order, id + "/deposit", false));
      return outcome(TransferStatus.TRANSFER_STATUS_DONE, "");
    } catch (ActorError refusal) {
      accounts.ref(order.getFrom()).deposit(deposit(order, id + "/refund", true));
      return outcome(TransferStatus.TRANSFER_STATUS_REFUNDED, refusal.reason());
    }
  }

  private static DepositRequest deposit(ExecuteRequest order, String operationId, boolean refund) {
    return DepositRequest.newBuilder()
        .setAmountCents(order.getAmountCents())
        .setOperationId(operationId)
        .setRefund(refund)
        .build();
  }

  private static ExecuteResponse outcome(TransferStatus status, String reason) {
    return ExecuteResponse.newBuilder().setStatus(status).setReason(reason).build();
  }
}
