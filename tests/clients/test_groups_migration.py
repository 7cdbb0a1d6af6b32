"""Groups whose members are replaced one by one by those of the other protocol, there and back; the
checker of tests/history decides, as in test_groups_life.py."""
import group_libraries as libraries
import harness
import pytest
from group_world import SETTINGS, World

PAIRS = [(libraries.CONFLUENT, libraries.CONFLUENT_CONSUMER),
         (libraries.CONFLUENT_COOPERATIVE, libraries.CONFLUENT_CONSUMER),
         (libraries.JAVA, libraries.JAVA_CONSUMER),
         (libraries.JAVA_COOPERATIVE, libraries.JAVA_CONSUMER),
         (libraries.KAFKA_PYTHON, libraries.JAVA_CONSUMER)]
if not libraries.LONG:
    PAIRS = [PAIRS[1], PAIRS[2]]


@pytest.fixture(name="world")
def running_world(tmp_path):
    with harness.Broker(settings=SETTINGS) as broker, World(tmp_path, broker) as world:
        yield world


def named(pair):
    return f"{pair[0].name}-{pair[1].name}"


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_group_is_upgraded_and_downgraded_member_by_member(world, pair):
    old, new = pair
    world.producer("p")
    a, b = world.member(old, "a", "g"), world.member(old, "b", "g")
    world.wait_shared("g", [a, b])
    world.wait_given([a, b])
    c = world.member(new, "c", "g")
    world.wait_shared("g", [a, b, c])
    world.wait_given([a, b, c])
    a.leave()
    d = world.member(new, "d", "g")
    world.wait_shared("g", [b, c, d])
    world.kill_broker()
    world.start_broker()
    world.wait_given([b, c, d])
    b.leave()
    world.wait_shared("g", [c, d])
    world.wait_given([c, d])
    e = world.member(old, "e", "g")
    world.wait_shared("g", [c, d, e])
    world.wait_given([c, d, e])
    c.leave()
    f = world.member(old, "f", "g")
    world.wait_shared("g", [d, e, f])
    world.kill(d)
    world.wait_shared("g", [e, f])
    world.wait_given([e, f])
    world.judge()
