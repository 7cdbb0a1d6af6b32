"""Short forms of the campaigns; ./dev campaign has them in full."""
import random

import pytest

import load  # first: it finds the others
import calls
import harness
import kills

SEED = random.randrange(1 << 31)
EACH = 97  # a prime: not always the same step of the story


def test_nothing_is_lost_whenever_the_broker_is_killed(tmp_path):
    print(f"seed {SEED}")
    seen = kills.run_round(tmp_path / "round", load.LOADS[0], 5, SEED, calm_seconds=3)
    assert seen["kills"] >= 5 and seen["records acknowledged"] > 0


@pytest.fixture(name="failing")
def failing_calls(tmp_path):
    if harness.sanitized():
        pytest.skip("a sanitizer's runtime wants to be the first library")

    def fail(io, kinds, each=EACH):
        campaign = calls.Campaign(tmp_path, io)
        faults = campaign.wanted(kinds(campaign.kinds), ["once"], each)
        assert campaign.run(faults, 3)

    return fail


def test_nothing_is_lost_whichever_call_of_the_system_fails(failing):
    failing("sync", lambda kinds: [kind for kind in kinds if not kind.startswith("uring")
                                   and kind not in calls.MEMORY])


def test_nothing_is_lost_whichever_operation_of_io_uring_fails(failing):
    failing("uring", lambda kinds: [kind for kind in kinds if kind.startswith("uring")], 31)
