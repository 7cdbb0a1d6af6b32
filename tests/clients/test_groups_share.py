"""Several groups on one topic, and several libraries in one group."""
import group_libraries as libraries
import harness
import pytest
from group_world import SETTINGS, World


def test_two_groups_are_each_given_everything(tmp_path):
    """Within a group a record has one receiver, and every group is a receiver."""
    with harness.Broker(settings=SETTINGS) as broker, World(tmp_path, broker) as world:
        world.producer("p")
        first = [world.member(libraries.CONFLUENT, name, "first") for name in ("a", "b")]
        second = [world.member(libraries.KAFKA_PYTHON, name, "second") for name in ("c", "d")]
        world.wait_shared("first", first)
        world.wait_shared("second", second)
        world.wait_given(first + second)
        # What happens in one is none of the other's business.
        before = [each.tail.update().rebalances for each in first]
        world.kill(second[0])
        world.wait_shared("second", second[1:])
        world.wait_given(first + second[1:])
        assert [each.tail.rebalances for each in first] == before
        world.judge()


def test_libraries_share_a_group_and_each_leads_it(tmp_path):
    """Assignors of the same name agree on what members and assignments look like."""
    there = [each for each in libraries.RANGE if each.there()]
    if len(there) < 2:
        pytest.skip(f"of the libraries with a range assignor only {there} are here")
    with harness.Broker(settings=SETTINGS) as broker:
        with World(tmp_path, broker, partitions=2 * len(there)) as world:
            world.producer("p")
            members = []
            for library in there:
                members.append(world.member(library, library.name, "g"))
                # One after the other, so that each in its turn is the one that leads.
                world.wait_shared("g", members)
            world.wait_given(members, 20)
            while len(members) > 1:
                members.pop(0).leave()
                world.wait_shared("g", members)
                world.wait_given(members, 20)
            world.judge()
