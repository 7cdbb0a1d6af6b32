"""sluiced on af_packet and af_xdp over a veth pair; clients are kernel sockets at its other end."""

import contextlib
import subprocess

import pytest

import links
import ports
from harness import eventually
from ports import Client, PortBroker

SETTINGS = {
    "af_packet": {},
    # The port has the interface to itself: it states the addresses, for its kernel too.
    "af_xdp": {"dpdk.address": f"{links.OURS}/24,{links.OURS_V6}/64"},
}
KERNEL = {"af_packet": "shadow", "af_xdp": "tap"}
DRIVERS = ["af_packet", "af_xdp"]


@contextlib.contextmanager
def broker_on(driver):
    """Two shards; af_packet has a queue for each, af_xdp one on a veth."""
    with contextlib.ExitStack() as stack:
        if driver == "af_xdp" and not links.has_af_xdp():
            pytest.skip("the kernel has no AF_XDP, or forbids it")
        try:
            link = stack.enter_context(links.veth())
            if driver == "af_xdp":
                links.tap("wire0")  # its way to the kernel
                link.flush()
        except links.Unavailable as reason:
            pytest.skip(str(reason))
        vdev = link.af_packet(queues=2) if driver == "af_packet" else link.af_xdp()
        broker = stack.enter_context(
            PortBroker(link.ours, links.OURS, vdev, settings=SETTINGS[driver])
        )
        found = broker.port_line()
        assert found["driver"] == f"net_{driver}"
        assert found["kernel"] in (KERNEL[driver], "virtio-user")
        yield broker, Client(link.theirs, links.OURS), link


@pytest.mark.parametrize("driver", DRIVERS)
def test_datagrams_and_tcp_share_a_port(driver, text):
    with broker_on(driver) as (broker, client, _):
        ports.datagrams_under_load_of_tcp(broker, client, text)
        before = broker.counters()
        assert before["received_bytes"] > ports.TEXT_BYTES
        if driver == "af_xdp":
            assert before["kernel_out"] > ports.TEXT_BYTES / 1500 and before["kernel_in"] > 0


@pytest.mark.parametrize("driver", DRIVERS)
def test_hand_overs_between_shards_are_counted(driver):
    with broker_on(driver) as (broker, client, _):
        ports.hand_overs_are_counted(broker, client)


@pytest.mark.parametrize("driver", DRIVERS)
def test_neighbours_are_found_anew_in_both_families(driver):
    with broker_on(driver) as (broker, client, link):
        for address in (links.OURS, links.OURS_V6):
            client.address = address
            subprocess.run([*link.theirs, "ip", "neigh", "flush", "dev", "vb"], check=True)
            client.sluice("udp", "produce", "greetings", given=b"hello\n")
            shown = subprocess.run(
                [*link.theirs, "ip", "neigh", "show", address], capture_output=True, check=True
            ).stdout.decode()
            assert broker.port_line()["mac"] in shown
        assert client.sluice("udp", "consume", "greetings", "-e") == b"hello\n" * 2


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_client_that_vanishes_harms_nobody(driver, text):
    with broker_on(driver) as (broker, client, _):
        client.sluice("udp", "topic", "create", "text", "-P", ports.PARTITIONS)
        for _ in range(2):
            before = broker.counters()["received_bytes"]
            victims = [
                ports.start(client.produce_words("udp", "cut-short", text)),
                ports.start(client.sluice_words("udp", "consume", "text")),
            ]
            try:
                eventually(
                    "some of its records",
                    lambda start=before: broker.counters()["received_bytes"] > start + 100000,
                )
            finally:
                ports.end(victims)
        ports.finish([ports.start(client.produce_words("udp", "text", text))])
        ports.judge(client.kcat_consumed("text"), text.values)


def link_seen(link):
    """By the kernel: neither driver looks at more than whether the interface is up."""
    shown = subprocess.run(
        [*link.ours, "ip", "link", "show", "va"], capture_output=True, check=True
    ).stdout
    return "up" if b"LOWER_UP" in shown else "down"


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_link_that_goes_down_and_up_loses_nothing(driver, text):
    with broker_on(driver) as (broker, client, link):
        client.sluice("udp", "topic", "create", "text", "-P", ports.PARTITIONS)
        writer = ports.start(client.produce_words("udp", "text", text))
        try:
            eventually(
                "some records", lambda: broker.counters()["received_bytes"] > ports.TEXT_BYTES / 8
            )
            for _ in range(3):
                links.run(*link.theirs, "ip", "link", "set", "vb", "down")
                eventually("down", lambda: link_seen(link) == "down")
                links.run(*link.theirs, "ip", "link", "set", "vb", "up")
                eventually("up", lambda: link_seen(link) == "up")
        finally:
            if writer.poll() is not None:
                ports.end([writer])
        ports.finish([writer])
        ports.judge(client.consumed("udp", "text"), text.values)
        ports.judge(client.kcat_consumed("text"), text.values)
