"""sluiced on net_tap, whose other end is a kernel interface in a namespace of the clients'."""

import contextlib
import subprocess

import pytest

import links
import ports
from ports import Client, PortBroker

OURS, THEIRS = "10.78.0.1", "10.78.0.2"


@contextlib.contextmanager
def broker_on_tap():
    """Namespaces come from a veth pair that is not used otherwise."""
    with contextlib.ExitStack() as stack:
        try:
            link = stack.enter_context(links.veth())
            vdev = links.tap("wire0")
        except links.Unavailable as reason:
            pytest.skip(str(reason))
        settings = {"dpdk.address": f"{OURS}/24", "dpdk.exception": "tap"}
        broker = stack.enter_context(PortBroker(link.ours, OURS, vdev, settings=settings))
        # The kernel's end of the port moves to the clients, with a MAC that is not the port's.
        wire = [*link.theirs, "ip", "link", "set", "wire0"]
        links.run(*link.ours, "ip", "link", "set", "wire0", "netns", f"{link.name}-theirs")
        links.run(*wire, "address", "02:00:00:00:07:07")
        links.run(*link.theirs, "ip", "addr", "add", f"{THEIRS}/24", "dev", "wire0")
        links.run(*wire, "up")
        found = broker.port_line()
        assert found["driver"] == "net_tap" and found["queues"] == "2"
        assert found["kernel"] == "tap"
        yield broker, Client(link.theirs, OURS), link


def test_datagrams_and_tcp_share_a_tap(text):
    with broker_on_tap() as (broker, client, link):
        ports.datagrams_under_load_of_tcp(broker, client, text)
        counted = broker.counters()
        assert counted["received_bytes"] > ports.TEXT_BYTES
        assert counted["kernel_out"] > ports.TEXT_BYTES / 1500 and counted["kernel_in"] > 0
        neighbours = subprocess.run(
            [*link.theirs, "ip", "neigh", "show", OURS], capture_output=True, check=True
        ).stdout.decode()
        assert broker.port_line()["mac"] in neighbours
        # What the port sends in pieces of odd lengths has checksums that hold.
        found = subprocess.run(
            [*link.theirs, "cat", "/proc/net/snmp"], capture_output=True, check=True
        ).stdout.decode()
        names, values = [line.split()[1:] for line in found.splitlines() if "Udp:" in line]
        assert dict(zip(names, map(int, values)))["InCsumErrors"] == 0


def test_hand_overs_on_a_tap_are_counted():
    with broker_on_tap() as (broker, client, _):
        ports.hand_overs_are_counted(broker, client)
