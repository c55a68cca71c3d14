package io.callboard.examples.bank;

import io.callboard.examples.bank.v1.TransferStatus;
import io.callboard.sdk.Client;
import io.callboard.sdk.Host;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Serves the bank's actors, or plays customers: {@code serve} (the default) or {@code demo [NAME]}. */
public final class Main {
  private static final int ACCOUNTS = 10;
  private static final int TRANSFERS = 200;
  private static final int CUSTOMERS = 8;
  private static final long FIRST_CENTS = 10_000;

  private Main() {}

  /**
   * Runs the bank or its customers.
   *
   * @param arguments {@code serve}, or {@code demo} with a name for its accounts
   * @throws Exception if a transfer cannot be decided
   */
  public static void main(String[] arguments) throws Exception {
    String command = arguments.length == 0 ? "serve" : arguments[0];
    switch (command) {
      case "serve" ->
          Host.builder().actor(Account::new).actor(Transfer::new).start().awaitShutdown();
      case "demo" -> demo(arguments.length > 1 ? arguments[1] : "demo");
      default -> {
        System.err.println("usage: bank [serve | demo [NAME]]");
        System.exit(2);
      }
    }
  }

  private static void demo(String name) throws InterruptedException, ExecutionException {
    ExecutorService customers = Executors.newFixedThreadPool(CUSTOMERS);
    try (Client client = Client.connect()) {
      Bank bank = new Bank(client, Duration.ofMillis(100));
      for (int i = 0; i < ACCOUNTS; i++) {
        bank.open(name + "-" + i, FIRST_CENTS);
      }
      Random random = new Random(name.hashCode());
      List<Future<TransferStatus>> transfers = new ArrayList<>();
      for (int i = 0; i < TRANSFERS; i++) {
        String id = name + "-t" + i;
        int from = random.nextInt(ACCOUNTS);
        String to = name + "-" + (from + 1 + random.nextInt(ACCOUNTS - 1)) % ACCOUNTS;
        long cents = 1 + random.nextInt((int) FIRST_CENTS);
        transfers.add(
            customers.submit(() -> bank.transfer(id, name + "-" + from, to, cents).getStatus()));
      }
      int done = 0;
      for (Future<TransferStatus> transfer : transfers) {
        done += transfer.get() == TransferStatus.TRANSFER_STATUS_DONE ? 1 : 0;
      }
      long total = 0;
      for (int i = 0; i < ACCOUNTS; i++) {
        total += bank.balance(name + "-" + i);
      }
      System.out.println(done + " of " + TRANSFERS + " transfers done, " + total + " cents in the bank");
      if (total != ACCOUNTS * FIRST_CENTS) {
        throw new IllegalStateException("money was lost or made: expected " + ACCOUNTS * FIRST_CENTS);
      }
    } finally {
      customers.shutdownNow();
    }
  }
}
