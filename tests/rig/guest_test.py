"""sluiced in a guest of qemu: on the drivers of emulated NICs, and on a tap whose kernel steers."""

import subprocess
import sys

import pytest

import harness

SECONDS = 180
NOTHING_TO_RUN_ON = 77  # guest.py says why


def run_guest(nic):
    """All that guest.py says of this NIC holds."""
    done = subprocess.run(
        [
            sys.executable, str(harness.ROOT / "hw/rig/guest.py"), "--nic", nic,
            "--program", harness.program(), "--timeout", str(SECONDS),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS + 60,
        check=False,
    )
    printed = done.stdout.decode(errors="replace")
    if done.returncode == NOTHING_TO_RUN_ON:
        pytest.skip(printed.strip().splitlines()[-1])
    print(printed)
    assert done.returncode == 0
    assert f"{nic}: ok" in printed
    return printed


@pytest.mark.parametrize("nic", ["e1000e", "virtio", "vmxnet3"])
def test_a_broker_on_the_driver_of_a_nic_serves_datagrams_and_tcp(nic):
    run_guest(nic)


def test_what_rss_puts_on_the_other_shards_queue_is_handed_over():
    printed = run_guest("virtio-rss")
    assert "queues=2 steering=software rss=yes" in printed


def test_flow_rules_put_datagrams_on_the_queue_of_their_partitions_shard():
    printed = run_guest("tap")
    assert "queues=2 steering=flow" in printed
    assert "rig: 0 handed over" in printed
