package io.callboard.sdk.samples;

import io.callboard.sdk.Action;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.Context;
import io.callboard.sdk.JsonActor;
import io.callboard.sdk.Saga;
import io.callboard.sdk.SagaProgress;

/** The saga of the README. */
final class Trips {
  record Trip(String hotel, String flight) {}

  record State(SagaProgress saga) {}

  private Trips() {}

  static final Action<Trip, String> BOOK = Action.json("book", Trip.class, String.class);
  static final Action<Void, Void> RESERVE = Action.json("reserve", Void.class, Void.class);
  static final Action<Void, Void> CANCEL = Action.json("cancel", Void.class, Void.class);

  static final Saga<State, Trip> SAGA =
      Saga.<State, Trip>builder(Trip.class)
          .step("hotel", Trips::bookHotel, Trips::leaveHotel)
          .step("flight", Trips::bookFlight)
          .progress(State::saga, (state, progress) -> new State(progress))
          .build();

  static final JsonActor<State> TRIPS =
      JsonActor.define("Trips", State.class)
          .initial(() -> new State(null))
          .action(BOOK, (context, trip) -> context.reply(SAGA.start(context, trip)))
          .action(Saga.ACTION, SAGA::turn)
          .build();

  static Trip bookHotel(Context<State> context, Trip trip) {
    context.call(ActorId.of("Hotel", trip.hotel()), RESERVE, null);
    return trip;
  }

  static Trip leaveHotel(Context<State> context, Trip trip) {
    context.call(ActorId.of("Hotel", trip.hotel()), CANCEL, null);
    return trip;
  }

  static Trip bookFlight(Context<State> context, Trip trip) {
    context.call(ActorId.of("Flight", trip.flight()), RESERVE, null);
    return trip;
  }
}
