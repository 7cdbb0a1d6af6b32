"""A group of each library through what happens to groups; the checker of tests/history decides.

Each record is given to a member at least once, none again after it was committed, in order, and
each partition has one owner at a time.
"""
import group_libraries as libraries
import harness
import pytest
from group_world import SETTINGS, World


@pytest.fixture(name="world")
def running_world(tmp_path):
    with harness.Broker(settings=SETTINGS) as broker, World(tmp_path, broker) as world:
        yield world


def named(library):
    return library.name


@pytest.mark.parametrize("library", libraries.ALL, ids=named)
def test_members_come_and_go_and_the_broker_is_killed(world, library):
    world.producer("p")
    a, b = world.member(library, "a", "g"), world.member(library, "b", "g")
    world.wait_shared("g", [a, b])
    world.wait_given([a, b])
    c = world.member(library, "c", "g")
    world.wait_shared("g", [a, b, c])
    world.wait_given([c])
    a.leave()
    world.wait_shared("g", [b, c])
    world.kill(b)
    world.wait_shared("g", [c])
    world.kill_broker()
    world.start_broker()
    world.wait_given([c])
    d = world.member(library, "d", "g")
    world.wait_shared("g", [c, d])
    world.wait_given([c, d])
    history = world.judge()
    if library.commits:
        assert history.groups["g"].commits


@pytest.mark.parametrize("library", libraries.STATIC, ids=named)
def test_static_member_comes_back_to_its_partitions(tmp_path, library):
    """Nobody else notices: there is no rebalance."""
    # Time to come back in.
    settings = {**SETTINGS, "group.consumer.session.timeout.ms": "30000"}
    with harness.Broker(settings=settings) as broker, World(tmp_path, broker) as world:
        world.producer("p")
        a = world.member(library, "a", "g", instance="first", session_ms=30_000)
        b = world.member(library, "b", "g", instance="second", session_ms=30_000)
        world.wait_shared("g", [a, b])
        world.wait_given([a, b])
        generation, owned, rebalances = b.tail.generation, a.tail.owned, b.tail.rebalances
        if library.options.get("protocol") == "consumer":
            # An instance id that was not given back is held until its session ends.
            a.leave()
        else:
            world.kill(a)
        again = world.member(library, "a2", "g", instance="first", after="a", session_ms=30_000)
        world.wait_shared("g", [again, b])
        world.wait_given([again, b])
        assert again.tail.owned == owned
        assert (b.tail.generation, b.tail.rebalances) == (generation, rebalances)
        world.judge()
