package io.callboard.sdk;

import io.callboard.control.v1.ActorsServiceMethods;
import io.callboard.control.v1.CheckpointActorRequest;
import io.callboard.control.v1.DeactivateActorRequest;
import io.callboard.control.v1.DeleteActorRequest;
import io.callboard.control.v1.GetRevisionRequest;
import io.callboard.control.v1.GetRevisionResponse;
import io.callboard.control.v1.ListRevisionsRequest;
import io.callboard.control.v1.RestoreActorRequest;
import io.callboard.control.v1.RestoreActorResponse;
import io.callboard.sdk.internal.Pages;
import io.callboard.sdk.internal.Queries;
import io.callboard.sdk.internal.Wire;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;

/**
 * Tools for single actors. All methods wait for the node, are repeated where that is safe, and throw {@link
 * CallException}.
 */
public final class ActorTools {
  private final Queries queries;
  private final String system;

  ActorTools(Queries queries, String system) {
    this.queries = queries;
    this.system = system;
  }

  /**
   * Saves a snapshot actor now. Without effect for durable ones, which are always saved.
   *
   * @param actor which
   * @return the revision that is saved
   */
  public long checkpoint(ActorId actor) {
    CheckpointActorRequest request = CheckpointActorRequest.newBuilder().setActor(wire(actor)).build();
    return queries.ask(ActorsServiceMethods.CHECKPOINT_ACTOR, request).getRevision();
  }

  /**
   * Takes an actor out of memory once nothing waits for it. A NAMED actor comes back at once.
   *
   * @param actor which
   */
  public void deactivate(ActorId actor) {
    DeactivateActorRequest request = DeactivateActorRequest.newBuilder().setActor(wire(actor)).build();
    queries.ask(ActorsServiceMethods.DEACTIVATE_ACTOR, request);
  }

  /**
   * Deletes an actor's state, tags and history. Its pending effects still go; calls that come later meet a fresh actor.
   *
   * @param actor which
   * @return the revision of the deletion
   */
  public long delete(ActorId actor) {
    DeleteActorRequest request = DeleteActorRequest.newBuilder().setActor(wire(actor)).build();
    return queries.ask(ActorsServiceMethods.DELETE_ACTOR, request).getRevision();
  }

  /**
   * The revisions of an actor that are kept, the newest first. Asks for a page at a time, as the stream needs them.
   *
   * @param actor which
   * @return the revisions
   */
  public Stream<Revision> history(ActorId actor) {
    return Pages.stream(
        0L,
        below -> {
          ListRevisionsRequest request =
              ListRevisionsRequest.newBuilder().setActor(wire(actor)).setBelow(below).build();
          List<Revision> items =
              queries.ask(ActorsServiceMethods.LIST_REVISIONS, request).getRevisionsList().stream()
                  .map(ActorTools::revision)
                  .toList();
          return new Pages.Page<>(items, items.isEmpty() ? null : items.get(items.size() - 1).revision());
        });
  }

  private static Revision revision(io.callboard.control.v1.Revision from) {
    return new Revision(
        from.getRevision(), Instant.ofEpochMilli(from.getCommittedAtMs()), from.getStateBytes());
  }

  /**
   * Reads an actor's state at a kept revision.
   *
   * @param actor which
   * @param revision the revision
   * @param codec how the state is encoded
   * @param <S> the type of the state
   * @return the state
   */
  public <S> PastState<S> stateAt(ActorId actor, long revision, Codec<S> codec) {
    return stateAt(GetRevisionRequest.newBuilder().setActor(wire(actor)).setRevision(revision).build(), codec);
  }

  /**
   * Reads an actor's state at a time: the newest kept revision that was committed at or before it.
   *
   * @param actor which
   * @param time the time
   * @param codec how the state is encoded
   * @param <S> the type of the state
   * @return the state
   */
  public <S> PastState<S> stateAt(ActorId actor, Instant time, Codec<S> codec) {
    return stateAt(
        GetRevisionRequest.newBuilder().setActor(wire(actor)).setTimeMs(time.toEpochMilli()).build(), codec);
  }

  private <S> PastState<S> stateAt(GetRevisionRequest request, Codec<S> codec) {
    GetRevisionResponse found = queries.ask(ActorsServiceMethods.GET_REVISION, request);
    boolean none = found.getState().getContentType().isEmpty();
    return new PastState<>(
        none ? null : codec.decode(found.getState()),
        found.getRevision().getRevision(),
        Instant.ofEpochMilli(found.getRevision().getCommittedAtMs()),
        found.getTagsMap());
  }

  /**
   * Gives an actor the state that it had at a kept revision, as a new revision.
   *
   * @param actor which
   * @param revision the revision
   * @return the new revision
   */
  public Restored restore(ActorId actor, long revision) {
    return restore(RestoreActorRequest.newBuilder().setActor(wire(actor)).setRevision(revision).build());
  }

  /**
   * Gives an actor the state that it had at a time, as a new revision.
   *
   * @param actor which
   * @param time the time
   * @return the new revision
   */
  public Restored restore(ActorId actor, Instant time) {
    return restore(
        RestoreActorRequest.newBuilder().setActor(wire(actor)).setTimeMs(time.toEpochMilli()).build());
  }

  private Restored restore(RestoreActorRequest request) {
    RestoreActorResponse done = queries.ask(ActorsServiceMethods.RESTORE_ACTOR, request);
    return new Restored(done.getRevision(), done.getRestored());
  }

  private io.callboard.type.v1.ActorId wire(ActorId actor) {
    return Wire.actorId(actor, system);
  }
}
