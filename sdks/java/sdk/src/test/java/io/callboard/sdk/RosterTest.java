package io.callboard.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.callboard.sdk.internal.Roster;
import io.callboard.sdk.internal.Roster.Member;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Which nodes a host serves, and under which of their addresses. */
class RosterTest {
  private static final List<Member> CLUSTER =
      List.of(new Member(1, "a:1"), new Member(2, "b:1"), new Member(3, "c:1"));

  @Test
  void aHostWantsTheNodesThatItWasGivenAndThoseThatTheyTellOf() {
    Roster roster = new Roster(List.of("a:1", "x:1"), true);
    assertEquals(Set.of("a:1", "x:1"), roster.wanted());
    assertTrue(roster.welcomed("a:1", 1, CLUSTER));
    assertEquals(Set.of("a:1", "b:1", "c:1", "x:1"), roster.wanted());
  }

  @Test
  void aSidecarWantsWhatItWasGivenAndNothingElse() {
    Roster roster = new Roster(List.of("a:1"), false);
    roster.welcomed("a:1", 1, CLUSTER);
    roster.topology(9, CLUSTER);
    assertEquals(Set.of("a:1"), roster.wanted());
  }

  @Test
  void aNodeIsServedOnceAndItsOtherNamesGetTheirTurnWhenThatSessionIsLost() {
    Roster roster = new Roster(List.of("public:1"), true);
    roster.welcomed("public:1", 1, CLUSTER);
    assertEquals(Set.of("b:1", "c:1", "public:1"), roster.wanted());
    assertFalse(roster.welcomed("a:1", 1, CLUSTER));
    roster.closed("public:1");
    assertEquals(Set.of("b:1", "c:1", "public:1"), roster.wanted(), "the name that worked is tried first");
    roster.failed("public:1");
    assertEquals(Set.of("a:1", "b:1", "c:1", "public:1"), roster.wanted());
    assertTrue(roster.welcomed("a:1", 1, CLUSTER));
    assertEquals(Set.of("a:1", "b:1", "c:1"), roster.wanted());
  }

  @Test
  void anAddressBehindWhichAnotherNodeAnswersLeavesTheOldOneToItsOwn() {
    Roster roster = new Roster(List.of("balancer:1"), true);
    roster.welcomed("balancer:1", 2, CLUSTER);
    roster.welcomed("a:1", 1, CLUSTER);
    assertEquals(Set.of("a:1", "balancer:1", "c:1"), roster.wanted());
    roster.closed("balancer:1");
    assertFalse(roster.welcomed("balancer:1", 1, CLUSTER));
    assertEquals(Set.of("a:1", "b:1", "c:1"), roster.wanted());
  }

  @Test
  void aTopologyReplacesWhatWasKnownAndAnOlderOneOrAnOldWelcomeDoesNot() {
    Roster roster = new Roster(List.of("a:1"), true);
    roster.welcomed("a:1", 1, CLUSTER);
    roster.topology(7, List.of(new Member(1, "a:1"), new Member(3, "c:2")));
    assertEquals(Set.of("a:1", "c:2"), roster.wanted());
    roster.topology(6, CLUSTER);
    roster.welcomed("c:2", 3, CLUSTER);
    assertEquals(Set.of("a:1", "c:2"), roster.wanted());
    roster.topology(8, CLUSTER);
    assertEquals(Set.of("a:1", "b:1", "c:2"), roster.wanted(), "a session that works is kept");
  }

  @Test
  void aHostThatLostEveryNodeBelievesTheFirstThatAnswers() {
    Roster roster = new Roster(List.of("a:1"), true);
    roster.welcomed("a:1", 1, CLUSTER);
    roster.topology(40, CLUSTER);
    roster.closed("a:1");
    assertEquals(Set.of("a:1", "b:1", "c:1"), roster.wanted());
    roster.welcomed("a:1", 1, List.of(new Member(1, "a:1")));
    assertEquals(Set.of("a:1"), roster.wanted());
    roster.topology(2, List.of(new Member(1, "a:1"), new Member(2, "d:1")));
    assertEquals(Set.of("a:1", "d:1"), roster.wanted());
  }

  @Test
  void aListWithoutNodesAndNodesWithoutAnAddressChangeNothing() {
    Roster roster = new Roster(List.of("a:1"), true);
    roster.welcomed("a:1", 1, List.of(new Member(2, ""), new Member(3, "c:1")));
    roster.topology(3, List.of());
    assertEquals(Set.of("a:1", "c:1"), roster.wanted());
  }
}
