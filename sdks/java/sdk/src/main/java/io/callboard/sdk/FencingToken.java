package io.callboard.sdk;

/**
 * Orders the turns of one actor, for effects outside Callboard: a store that remembers the highest token it has seen
 * can refuse a turn that another host has overtaken.
 *
 * @param epoch the epoch of the actor's shard; rises when the shard changes its node
 * @param revision the revision that the actor has if the turn commits
 */
public record FencingToken(long epoch, long revision) implements Comparable<FencingToken> {
  /** By epoch, then by revision. */
  @Override
  public int compareTo(FencingToken other) {
    int byEpoch = Long.compareUnsigned(epoch, other.epoch);
    return byEpoch != 0 ? byEpoch : Long.compareUnsigned(revision, other.revision);
  }
}
