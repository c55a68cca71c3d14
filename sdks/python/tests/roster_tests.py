"""Which nodes a host serves, and under which of their addresses."""

from __future__ import annotations

from callboard.roster import Roster

CLUSTER = [(1, "a:1"), (2, "b:1"), (3, "c:1")]


def a_host_wants_the_nodes_that_it_was_given_and_those_that_they_tell_of() -> None:
    roster = Roster(["a:1", "x:1"], True)
    assert roster.wanted() == ["a:1", "x:1"]
    assert roster.welcomed("a:1", 1, CLUSTER)
    assert sorted(roster.wanted()) == ["a:1", "b:1", "c:1", "x:1"]


def a_sidecar_host_wants_what_it_was_given_and_nothing_else() -> None:
    roster = Roster(["a:1"], False)
    roster.welcomed("a:1", 1, CLUSTER)
    roster.topology(9, CLUSTER)
    assert roster.wanted() == ["a:1"]


def a_node_is_served_once_and_its_other_names_get_their_turn_when_that_is_lost() -> None:
    roster = Roster(["public:1"], True)
    roster.welcomed("public:1", 1, CLUSTER)
    assert sorted(roster.wanted()) == ["b:1", "c:1", "public:1"]
    assert not roster.welcomed("a:1", 1, CLUSTER)
    roster.closed("public:1")
    assert sorted(roster.wanted()) == ["b:1", "c:1", "public:1"]  # what worked is tried first
    roster.failed("public:1")
    assert sorted(roster.wanted()) == ["a:1", "b:1", "c:1", "public:1"]
    assert roster.welcomed("a:1", 1, CLUSTER)
    assert sorted(roster.wanted()) == ["a:1", "b:1", "c:1"]


def an_address_behind_which_another_node_answers_leaves_the_old_one_to_its_own() -> None:
    roster = Roster(["balancer:1"], True)
    roster.welcomed("balancer:1", 2, CLUSTER)
    roster.welcomed("a:1", 1, CLUSTER)
    assert sorted(roster.wanted()) == ["a:1", "balancer:1", "c:1"]
    roster.closed("balancer:1")
    assert not roster.welcomed("balancer:1", 1, CLUSTER)
    assert sorted(roster.wanted()) == ["a:1", "b:1", "c:1"]


def a_topology_replaces_what_was_known_and_an_older_one_or_an_old_welcome_does_not() -> None:
    roster = Roster(["a:1"], True)
    roster.welcomed("a:1", 1, CLUSTER)
    roster.topology(7, [(1, "a:1"), (3, "c:2")])
    assert roster.wanted() == ["a:1", "c:2"]
    roster.topology(6, CLUSTER)
    roster.welcomed("c:2", 3, CLUSTER)
    assert roster.wanted() == ["a:1", "c:2"]
    roster.topology(8, CLUSTER)  # a session that works is not given up for a new name
    assert sorted(roster.wanted()) == ["a:1", "b:1", "c:2"]


def a_host_that_lost_every_node_believes_the_first_that_answers() -> None:
    roster = Roster(["a:1"], True)
    roster.welcomed("a:1", 1, CLUSTER)
    roster.topology(40, CLUSTER)
    roster.closed("a:1")
    assert sorted(roster.wanted()) == ["a:1", "b:1", "c:1"]
    roster.welcomed("a:1", 1, [(1, "a:1")])
    assert roster.wanted() == ["a:1"]
    roster.topology(2, [(1, "a:1"), (2, "d:1")])
    assert roster.wanted() == ["a:1", "d:1"]


def a_list_without_nodes_and_nodes_without_an_address_change_nothing() -> None:
    roster = Roster(["a:1"], True)
    roster.welcomed("a:1", 1, [(2, ""), (3, "c:1")])
    roster.topology(3, [])
    assert roster.wanted() == ["a:1", "c:1"]
