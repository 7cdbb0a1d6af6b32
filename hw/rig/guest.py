#!/usr/bin/env python3
"""A Debian kernel in qemu with an emulated NIC bound to vfio-pci, and a program that drives it.

    hw/rig/guest.py --nic NIC --program build/sluiced [--timeout S]

The guest has an emulated IOMMU (Debian's kernels are built without VFIO's no-IOMMU mode), a hundred
or so hugepages, vhost-net and a root file system in memory (guest_image.py).  Its NIC is the
program's port, and clients are outside, on this host, behind qemu's user network:

    virtio, e1000e, vmxnet3
        sluiced      `sluice` produces and consumes over udp://, kcat does over TCP, which reaches
                     the guest's kernel through the exception path; each reads what the other wrote
        port_bench   (build/bench/port_bench) datagrams come back from the port, and the guest's
                     kernel answers a TCP connection

Two more show, with sluiced, how datagrams of two shards come on two queues:

    virtio-rss   the device spreads flows by RSS.  Clients are in a namespace of this host, where the
                 NIC's other end is a tap of two queues (root).  Datagrams come on both queues, and
                 those on the other shard's are handed over
    tap          no NIC: the port is net_tap, for which Debian's kernel takes the rte_flow rules that
                 many a host's does not.  The client is in the guest.  Each datagram comes on the
                 queue of its partition's shard

Ends with 0 when all of that holds, 77 when this machine lacks something, which it names.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import guest_image
import links
from guest_image import lacking

VFIO_MODULES = ["irqbypass", "vfio_virqfd", "vfio", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci",
                "tun", "tap", "vhost_iotlb", "vhost", "vhost_net"]
FLOW_MODULES = ["tun", "sch_multiq", "sch_ingress", "cls_flower", "act_skbedit"]
VIRTIO = "virtio-net-pci,iommu_platform=on,disable-legacy=on"
NICS = {"virtio": VIRTIO, "e1000e": "e1000e", "vmxnet3": "vmxnet3",
        "virtio-rss": f"{VIRTIO},mq=on,rss=on,vectors=8", "tap": None}
ADDRESS, BESIDE = "192.0.2.1", "192.0.2.2"
UDP_PORT = 9500
TCP_PORT = 9092
RECORDS = 2000
CLIENT_SECONDS = 60
ENDED_WELL = "rig: the program ended with 0"
# What is seen of RSS depends on the clients' ports, so there are several.
FLOWS = 8
INSIDE = "/usr/bin/python3 -S /guest_inside.py"
FIND = """nic=$(grep -l 0x020000 /sys/bus/pci/devices/*/class | head -n 1)
nic=${nic%/class}
nic=${nic##*/}
"""
BIND = """echo vfio-pci > /sys/bus/pci/devices/$nic/driver_override
echo $nic > /sys/bus/pci/drivers_probe
echo "rig: NIC $nic group $(readlink /sys/bus/pci/devices/$nic/iommu_group)"
"""
# A kernel of its own is where the operator's commands can be tried for good.
BIND_BY_COMMAND = """/sluice nic bind $nic > /dev/null
echo "rig: NIC $nic group $(readlink /sys/bus/pci/devices/$nic/iommu_group)"
/sluice doctor --nic $nic
"""
# What the doctor says of a NIC that can be driven.
SOUND = ("nic-driver", "iommu", "iommu-group", "vfio")
GIVE_BACK = """
code=$?
/sluice nic unbind $nic > /dev/null && echo "rig: NIC $nic given back"
(exit $code)"""
ECHO = f"""echo "the kernel of the guest" > /run/words
while :; do nc -l -p {TCP_PORT} < /run/words > /dev/null; done &
/program echo $nic kernel"""
# Two shards, on one queue or two.  The datagrams' ports are those that Metadata tells, so qemu's
# forwards have the same numbers outside.  A line on the console ends it.
BROKER = """/program --shards 2 --listen {address}:{port} --set advertised.listen={outside}:{port} \\
	--set datagram.listen=none --set dpdk.port=$nic --set dpdk.address={address}/24 \\
	--set dpdk.hugepages=true --set dpdk.telemetry=true --data /run/data \\
	--set num.partitions=4 &
program=$!
{{ read line < /dev/console; {inside} counters $nic; kill $program; }} &
wait $program"""
# What the kernel sends through wire0 comes to the port.
TAP_BROKER = f"""/program --shards 2 --listen 127.0.0.1:{TCP_PORT} --data /run/data \\
	--set advertised.listen={ADDRESS}:{TCP_PORT} --set datagram.listen=none \\
	--set dpdk.address={ADDRESS}/24 --set dpdk.exception=none --set dpdk.telemetry=true \\
	--vdev net_tap0,iface=wire0,mac=02:00:00:00:07:01 2> /run/log &
program=$!
for try in $(seq 300); do grep -q "ready listen=" /run/log && break; sleep 0.1; done
ip link set wire0 address 02:00:00:00:07:07
ip addr add {BESIDE}/24 dev wire0
ip link set wire0 up
{INSIDE} steering net_tap0 {ADDRESS}:{TCP_PORT}
kill $program
wait $program
code=$?
cat /run/log
(exit $code)"""


def is_free(kind, port):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_port():
    """One for TCP; for UDP it and the next, of two shards."""
    while True:
        port = random.randrange(20000, 30000)
        if (is_free(socket.SOCK_STREAM, port) and is_free(socket.SOCK_DGRAM, port)
                and is_free(socket.SOCK_DGRAM, port + 1)):
            return port


class UserNetwork:
    """qemu's: a client's connection to a port of this host goes on to the guest's."""

    side, address = [], "127.0.0.1"

    def __init__(self, forwards):
        self.netdev = "user,id=n0,net=192.0.2.0/24,host=192.0.2.254,dhcpstart=192.0.2.100"
        for kind, outside, inside in forwards:
            self.netdev += f",hostfwd={kind}:127.0.0.1:{outside}-{ADDRESS}:{inside}"

    def join(self, until):
        pass


class TapNetwork:
    """A tap of two queues in a namespace: `side` begins a command that is to run there."""

    netdev, address = "tap,id=n0,ifname=wire0,queues=2,script=no,downscript=no", ADDRESS

    def __init__(self, namespace):
        self.side = namespace

    def join(self, until):
        """Once qemu has made the tap."""
        words = [*self.side, "ip", "addr", "add", f"{BESIDE}/24", "dev", "wire0"]
        while subprocess.run(words, capture_output=True, check=False).returncode:
            if time.monotonic() > until:
                raise OSError("qemu made no tap")
            time.sleep(0.1)
        links.run(*self.side, "ip", "link", "set", "wire0", "up")


def start_qemu(options, network, kernel, archive, log):
    kvm = options.kvm
    command = [*(network.side if network else []),
               "qemu-system-x86_64", "-machine", "q35" + (",kernel-irqchip=split" if kvm else ""),
               "-accel", "kvm" if kvm else "tcg", "-cpu", "host" if kvm else "max", "-m", "1536",
               "-smp", "2", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
               "-device", "intel-iommu,intremap=on", "-kernel", kernel, "-initrd", archive,
               # An emulated timer that comes late is no reason to panic.
               "-append", "no_timer_check console=ttyS0 quiet intel_iommu=on iommu=nopt "
                          "hugepages=160"]
    if network:
        command += ["-netdev", network.netdev, "-device", NICS[options.nic] + ",netdev=n0"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)


def ask_datagrams(qemu, port, count, until):
    """Every datagram comes back; the first ones may be lost while the guest starts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect(("127.0.0.1", port))
        for number in range(count):
            words = f"datagram {number} ".encode() * (1 + number % 80)
            while time.monotonic() < until and qemu.poll() is None:
                try:
                    client.send(words)
                    if client.recv(2048) == words:
                        break
                except OSError:
                    time.sleep(0.1)
            else:
                return False
    return True


def ask_stream(port, until):
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
                if client.recv(100) == b"the kernel of the guest\n":
                    return True
        except OSError:
            pass
        time.sleep(0.2)
    return False


def ask_echo(qemu, port, until):
    """What did not work."""
    failed = []
    if not ask_datagrams(qemu, port, 200, until):
        failed.append("datagrams")
    elif not ask_stream(port, until):
        failed.append("TCP")
    return failed


def run_client(words, given=None):
    done = subprocess.run(words, input=given, capture_output=True, timeout=CLIENT_SECONDS,
                          check=False)
    if done.returncode or done.stderr:
        raise OSError(f"{words}: {done.returncode} {done.stderr.decode(errors='replace')}")
    return done.stdout


def wait_for(qemu, log, words, until):
    while True:
        ended = qemu.poll() is not None
        if words in log.read_text(errors="replace"):
            return
        if ended or time.monotonic() > until:
            raise OSError(f"not seen: {words}")
        time.sleep(0.1)


class Clients:
    """They speak to the broker in the guest, over datagrams and over TCP."""

    def __init__(self, network, sluice, port):
        self.datagrams = [*network.side, sluice, "-b", f"udp://{network.address}:{port}"]
        self.stream = [*network.side, "kcat", "-b", f"{network.address}:{port}"]

    def ask(self, number):
        """Records go in over either; each side reads what the other wrote.  What did not work."""
        given = b"".join(b"%08d of run %d, %s\n" % (line, number, b"x" * (line % 200))
                         for line in range(RECORDS))
        begun = time.monotonic()
        run_client([*self.datagrams, "topic", "create", "datagrams", "stream", "-P", "4"])
        run_client([*self.datagrams, "produce", "datagrams", "-a", "all"], given)
        run_client([*self.stream, "-P", "-t", "stream", "-X", "acks=all"], given)
        print(f"{RECORDS} records over each, in {time.monotonic() - begun:.1f} s")
        failed = []
        for topic in ("datagrams", "stream"):
            for name, words in (
                    ("datagrams", [*self.datagrams, "consume", topic, "-e"]),
                    ("TCP", [*self.stream, "-C", "-t", topic, "-e", "-q", "-o", "beginning"])):
                printed = run_client(words)
                if sorted(printed.splitlines()) != given.splitlines():
                    failed.append(f"{topic} read over {name}")
        return failed

    def ask_many_flows(self):
        """Each client has ports of its own, so RSS puts its flows elsewhere."""
        lines = b"".join(b"%06d\n" % line for line in range(RECORDS))
        for _ in range(FLOWS):
            run_client([*self.datagrams, "produce", "flows", "-a", "all"], lines)
        printed = run_client([*self.datagrams, "consume", "flows", "-e"])
        same = sorted(printed.splitlines()) == sorted(lines.splitlines() * FLOWS)
        return [] if same else ["many flows"]


def end_broker(qemu, log):
    """What each queue had counted at its end."""
    qemu.communicate(b"\n", timeout=CLIENT_SECONDS)
    printed = log.read_text(errors="replace")
    if ENDED_WELL not in printed:
        raise OSError("the broker did not end well")
    return [json.loads(line) for line in re.findall(r"rig: queue (\{.*\})", printed)]


def judge_doctor(log):
    printed = log.read_text(errors="replace")
    return [f"{check} by sluice doctor" for check in SOUND
            if not re.search(rf"^ok +nic +{check} ", printed, re.M)]


def judge_spread(queues):
    print("received on each queue:", *(queue["received"] for queue in queues),
          "handed over:", *(queue["handed_over"] for queue in queues))
    failed = []
    if len(queues) != 2 or not all(queue["received"] for queue in queues):
        failed.append("datagrams on both queues")
    if not any(queue["handed_over"] for queue in queues):
        failed.append("hand-overs")
    if any(queue["handed_over_dropped"] for queue in queues):
        failed.append("a hand-over that was dropped")
    return failed


def ask(options, qemu, network, log, port, until):
    """What did not work."""
    try:
        if options.nic == "tap":
            wait_for(qemu, log, "rig: steering ok", until)
            wait_for(qemu, log, ENDED_WELL, until)
            return []
        network.join(until)
        if options.sluice is None:
            return ask_echo(qemu, port, until)
        wait_for(qemu, log, "ready listen=", until)
        clients = Clients(network, options.sluice, port)
        failed = clients.ask(os.getpid())
        if options.nic == "virtio-rss":
            failed += clients.ask_many_flows()
        queues = end_broker(qemu, log)
        failed += judge_doctor(log)
        if "given back" not in log.read_text(errors="replace"):
            failed.append("the NIC given back")
        return failed + (judge_spread(queues) if options.nic == "virtio-rss" else [])
    except (OSError, subprocess.TimeoutExpired, links.Unavailable) as reason:
        return [str(reason)]


def set_client(options):
    """`sluice` is built beside sluiced; other programs need none."""
    options.sluice = None
    if options.program.name != "sluiced":
        if options.nic in ("tap", "virtio-rss"):
            sys.exit(f"--nic {options.nic} is for sluiced")
        return
    if not shutil.which("kcat"):
        lacking("needs kcat")
    folder = options.program.resolve().parent
    for candidate in (folder / "sluice", folder.parent / "client/sluice"):
        if candidate.exists():
            options.sluice = str(candidate)
            return
    lacking("needs sluice beside sluiced")


def network_of(options, port, stack):
    if options.nic == "tap":
        return None
    if options.nic == "virtio-rss":
        try:
            return TapNetwork(stack.enter_context(links.namespace()))
        except links.Unavailable as reason:
            lacking(str(reason))
    if options.sluice:
        return UserNetwork([("tcp", port, port), ("udp", port, port), ("udp", port + 1, port + 1)])
    return UserNetwork([("tcp", port, TCP_PORT), ("udp", port, UDP_PORT)])


def script_of(options, network, port):
    if options.nic == "tap":
        return TAP_BROKER
    if options.sluice is None:
        return FIND + BIND + ECHO
    broker = BROKER.format(address=ADDRESS, outside=network.address, port=port, inside=INSIDE)
    return FIND + BIND_BY_COMMAND + broker + GIVE_BACK


def run_guest(options, folder):
    """What did not work."""
    port = free_port()
    until = time.monotonic() + options.timeout
    with contextlib.ExitStack() as stack:
        network = network_of(options, port, stack)
        unpacked = guest_image.kernel_files(folder)
        programs = {"program": options.program}
        if options.sluice:
            programs["sluice"] = options.sluice
        guest_image.make_root(folder / "root", unpacked, programs,
                              FLOW_MODULES if options.nic == "tap" else VFIO_MODULES,
                              script_of(options, network, port))
        guest_image.pack(folder / "root", folder / "initrd")
        kernel = next((unpacked / "boot").glob("vmlinuz-*"))
        with open(folder / "log", "wb") as log:
            qemu = start_qemu(options, network, kernel, folder / "initrd", log)
            try:
                return ask(options, qemu, network, folder / "log", port, until)
            finally:
                qemu.stdin.close()
                qemu.kill()
                qemu.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nic", choices=NICS, required=True)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--timeout", type=int, default=180, help="seconds, for all of it")
    parser.add_argument("--kvm", action="store_true",
                        help="instead of software emulation, which ends in less than a minute")
    options = parser.parse_args()
    for tool in ("qemu-system-x86_64", "cpio", "dpkg-deb", "ldd"):
        if not shutil.which(tool):
            lacking(f"needs {tool}")
    set_client(options)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sluice_rig_") as name:
        folder = pathlib.Path(name)
        failed = run_guest(options, folder)
        print((folder / "log").read_text(errors="replace")[-4000:])
    print(f"{options.nic}: {'FAILED: ' + ', '.join(failed) if failed else 'ok'}, "
          f"{time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
