"""Short forms of the campaigns; ./dev campaign has them in full."""
import random

import pytest

import load  # first: it finds the others
import calls
import clocks
import full_disk
import harness
import kills
import limits
import neighbours

SEED = random.randrange(1 << 31)
EACH = 97  # a prime: not always the same step of the story


def test_nothing_is_lost_whenever_the_broker_is_killed(tmp_path):
    print(f"seed {SEED}")
    seen = kills.run_round(tmp_path / "round", load.LOADS[0], 5, SEED, calm_seconds=3)
    assert seen["kills"] >= 5 and seen["records acknowledged"] > 0


@pytest.mark.parametrize("kind", sorted(full_disk.MKFS))
def test_a_full_file_system_is_survived_and_written_to_again(tmp_path, kind):
    try:
        seen = full_disk.run_turns(tmp_path, kind, 2, SEED)
    except full_disk.CannotMount as why:
        pytest.skip(str(why))
    assert seen["appends refused"] > 0


def test_descriptors_and_memory_that_run_out_take_nothing_with_them(tmp_path):
    seen = limits.run(tmp_path, 3, SEED)
    assert seen["pressing requests"] > 0


def test_a_wall_clock_that_steps_takes_nothing_but_what_is_old(tmp_path):
    if harness.sanitized():
        pytest.skip("a sanitizer's runtime wants to be the first library")
    seen = clocks.run(tmp_path, 4, SEED)
    assert seen["records acknowledged"] > 0


def test_who_stalls_or_floods_does_not_keep_others_from_being_answered(tmp_path):
    seen = neighbours.run(tmp_path, 1)
    assert seen["appends measured"] > 0


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


def test_nothing_is_lost_whichever_allocation_of_memory_fails(failing):
    failing("sync", lambda kinds: [kind for kind in kinds if kind in ("allocation", "map")], 67)
