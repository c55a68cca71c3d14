package io.callboard.sdk;

import io.callboard.control.v1.CreateScheduleRequest;
import io.callboard.control.v1.DeleteScheduleRequest;
import io.callboard.control.v1.GetScheduleRequest;
import io.callboard.control.v1.ListSchedulesRequest;
import io.callboard.control.v1.ListSchedulesResponse;
import io.callboard.control.v1.PauseScheduleRequest;
import io.callboard.control.v1.PreviewScheduleRequest;
import io.callboard.control.v1.ResumeScheduleRequest;
import io.callboard.control.v1.ScheduleSpec;
import io.callboard.control.v1.SchedulesServiceMethods;
import io.callboard.control.v1.TriggerScheduleRequest;
import io.callboard.control.v1.UpdateScheduleRequest;
import io.callboard.sdk.internal.JsonValues;
import io.callboard.sdk.internal.Pages;
import io.callboard.sdk.internal.Queries;
import io.callboard.sdk.internal.RequestIds;
import io.callboard.sdk.internal.Wire;
import io.callboard.type.v1.Payload;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The schedules of a client's system: calls that are made by the clock. All methods wait for the node, are repeated where
 * that is safe, and throw {@link CallException}.
 */
public final class Schedules {
  private final Queries queries;
  private final String system;

  Schedules(Queries queries, String system) {
    this.queries = queries;
    this.system = system;
  }

  /**
   * Makes a schedule. Making one again that is the same changes nothing.
   *
   * @param name unique within the system
   * @param call what it calls
   * @param when when it calls
   * @return the schedule
   */
  public Schedule create(String name, ActorCall<?, ?> call, When when) {
    return create(name, call, when, false);
  }

  /**
   * Makes a schedule under a name of its own.
   *
   * @param call what it calls
   * @param when when it calls
   * @return the schedule
   */
  public Schedule create(ActorCall<?, ?> call, When when) {
    return create(RequestIds.next(System.currentTimeMillis()), call, when, false);
  }

  /**
   * Makes a schedule that waits to be resumed. Making one again that is the same changes nothing.
   *
   * @param name unique within the system
   * @param call what it calls
   * @param when when it calls
   * @return the schedule
   */
  public Schedule createPaused(String name, ActorCall<?, ?> call, When when) {
    return create(name, call, when, true);
  }

  private Schedule create(String name, ActorCall<?, ?> call, When when, boolean paused) {
    CreateScheduleRequest request =
        CreateScheduleRequest.newBuilder()
            .setSystem(system)
            .setName(Objects.requireNonNull(name, "name"))
            .setSpec(spec(call, when))
            .setPaused(paused)
            .setRequestId(RequestIds.next(System.currentTimeMillis()))
            .build();
    return schedule(queries.ask(SchedulesServiceMethods.CREATE_SCHEDULE, request).getSchedule());
  }

  /**
   * Has a schedule make another call, or at other times. It keeps its counters.
   *
   * @param name which
   * @param call what it calls from now on
   * @param when when it calls from now on
   * @return the schedule
   */
  public Schedule update(String name, ActorCall<?, ?> call, When when) {
    return update(name, call, when, 0);
  }

  /**
   * Has a schedule make another call, or at other times, unless somebody else updated it meanwhile.
   *
   * @param name which
   * @param call what it calls from now on
   * @param when when it calls from now on
   * @param ifGeneration the generation that it must have; 0 for any
   * @return the schedule
   */
  public Schedule update(String name, ActorCall<?, ?> call, When when, long ifGeneration) {
    UpdateScheduleRequest request =
        UpdateScheduleRequest.newBuilder()
            .setSystem(system)
            .setName(name)
            .setSpec(spec(call, when))
            .setIfGeneration(ifGeneration)
            .build();
    return schedule(queries.ask(SchedulesServiceMethods.UPDATE_SCHEDULE, request).getSchedule());
  }

  /**
   * Describes a schedule.
   *
   * @param name which
   * @return the schedule
   */
  public Schedule get(String name) {
    GetScheduleRequest request = GetScheduleRequest.newBuilder().setSystem(system).setName(name).build();
    return schedule(queries.ask(SchedulesServiceMethods.GET_SCHEDULE, request).getSchedule());
  }

  /**
   * The schedules of the system by name. Asks for a page at a time, as the stream needs them.
   *
   * @param prefix only names that begin with this; empty for all
   * @return the schedules
   */
  public Stream<Schedule> list(String prefix) {
    return Pages.stream(
        "",
        token -> {
          ListSchedulesResponse page =
              queries.ask(
                  SchedulesServiceMethods.LIST_SCHEDULES,
                  ListSchedulesRequest.newBuilder()
                      .setSystem(system)
                      .setNamePrefix(prefix)
                      .setPageToken(token)
                      .build());
          List<Schedule> items = page.getSchedulesList().stream().map(this::schedule).toList();
          return new Pages.Page<>(items, Pages.more(page.getNextPageToken()));
        });
  }

  /**
   * Keeps a schedule from firing until it is resumed.
   *
   * @param name which
   * @return the schedule
   */
  public Schedule pause(String name) {
    PauseScheduleRequest request = PauseScheduleRequest.newBuilder().setSystem(system).setName(name).build();
    return schedule(queries.ask(SchedulesServiceMethods.PAUSE_SCHEDULE, request).getSchedule());
  }

  /**
   * Lets a schedule fire again; what was due meanwhile counts as missed.
   *
   * @param name which
   * @return the schedule
   */
  public Schedule resume(String name) {
    ResumeScheduleRequest request = ResumeScheduleRequest.newBuilder().setSystem(system).setName(name).build();
    return schedule(queries.ask(SchedulesServiceMethods.RESUME_SCHEDULE, request).getSchedule());
  }

  /**
   * Fires a schedule now, beside its own times; a paused one too.
   *
   * @param name which
   * @return the schedule
   */
  public Schedule trigger(String name) {
    TriggerScheduleRequest request =
        TriggerScheduleRequest.newBuilder()
            .setSystem(system)
            .setName(name)
            .setRequestId(RequestIds.next(System.currentTimeMillis()))
            .build();
    return schedule(queries.ask(SchedulesServiceMethods.TRIGGER_SCHEDULE, request).getSchedule());
  }

  /**
   * Deletes a schedule. An occurrence that was handed to its actor still runs.
   *
   * @param name which
   */
  public void delete(String name) {
    DeleteScheduleRequest request =
        DeleteScheduleRequest.newBuilder()
            .setSystem(system)
            .setName(name)
            .setRequestId(RequestIds.next(System.currentTimeMillis()))
            .build();
    queries.ask(SchedulesServiceMethods.DELETE_SCHEDULE, request);
  }

  /**
   * Says when a schedule would fire from now on, without making it.
   *
   * @param call what it would call
   * @param when when it would call
   * @param count how many times to tell, at most 1,000; 0 for 5
   * @return the times, without jitter; fewer if the schedule ends
   */
  public List<Instant> preview(ActorCall<?, ?> call, When when, int count) {
    return preview(call, when, count, Instant.EPOCH);
  }

  /**
   * Says when a schedule would fire, without making it.
   *
   * @param call what it would call
   * @param when when it would call
   * @param count how many times to tell, at most 1,000; 0 for 5
   * @param after from when on
   * @return the times, without jitter; fewer if the schedule ends
   */
  public List<Instant> preview(ActorCall<?, ?> call, When when, int count, Instant after) {
    PreviewScheduleRequest request =
        PreviewScheduleRequest.newBuilder()
            .setSpec(spec(call, when))
            .setCount(count)
            .setAfterMs(after.toEpochMilli())
            .build();
    return queries.ask(SchedulesServiceMethods.PREVIEW_SCHEDULE, request).getTimesMsList().stream()
        .map(Instant::ofEpochMilli)
        .toList();
  }

  private <I> ScheduleSpec spec(ActorCall<I, ?> call, When when) {
    ScheduleSpec.Builder spec =
        when.spec().toBuilder()
            .setTarget(Wire.actorId(call.target(), system))
            .setAction(call.action().name())
            .putAllMetadata(call.metadata());
    Payload payload = call.action().input().encode(call.argument());
    if (!payload.getContentType().isEmpty()) {
      spec.setPayload(payload);
    }
    return spec.build();
  }

  private Schedule schedule(io.callboard.control.v1.Schedule from) {
    ScheduleSpec spec = from.getSpec();
    return new Schedule(
        from.getSystem().isEmpty() ? system : from.getSystem(),
        from.getName(),
        Wire.actorId(spec.getTarget()),
        spec.getAction(),
        spec.hasJson() ? JsonValues.payload(spec.getJson()) : spec.getPayload(),
        spec.getMetadataMap(),
        When.of(spec),
        from.getPaused(),
        from.getGeneration(),
        Wire.time(from.getNextMs()),
        from.getFired(),
        from.getMissed(),
        from.getFailed(),
        Wire.time(from.getLastFiredMs()),
        from.getLastError().isEmpty() ? Optional.empty() : Optional.of(from.getLastError()),
        Wire.time(from.getCreatedMs()));
  }
}
