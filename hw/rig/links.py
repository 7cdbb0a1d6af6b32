#!/usr/bin/env python3
"""Links for ports of DPDK on a machine without a NIC to spare: memif, veth, tap.

    hw/rig/links.py check              what of it this machine can do; root sees more
    hw/rig/links.py up NAME            namespaces NAME-ours and NAME-theirs, joined by a veth pair
    hw/rig/links.py down NAME

As a module: context managers that clean up after themselves.  Whatever is missing raises
Unavailable with a sentence, for tests to skip with.
"""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

OURS, THEIRS = "10.77.0.1", "10.77.0.2"
OURS_V6, THEIRS_V6 = "fd77::1", "fd77::2"
SIOCETHTOOL = 0x8946
# ETHTOOL_STXCSUM, _SSG, _STSO, _SGSO: what leaves is a frame as a wire would carry it.
OFFLOADS = (0x17, 0x19, 0x1f, 0x24)


class Unavailable(Exception):
    """This machine cannot make such a link; the message says why."""


def run(*words):
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Unavailable(f"`{' '.join(words)}`: {ended.stderr.strip()}")


@contextlib.contextmanager
def memif(buffer_bytes=2048):
    """Two processes, shared memory: (--vdev of who listens, --vdev of who connects).  A frame has
    to fit a buffer: 9216 for an MTU of 9000."""
    with tempfile.TemporaryDirectory(prefix="sluice_memif_") as folder:
        words = f"id=0,bsize={buffer_bytes},socket-abstract=no,socket={folder}/socket"
        yield f"net_memif0,role=server,{words}", f"net_memif0,role=client,{words}"


class Veth:
    """Two namespaces; `ours` and `theirs` begin a command that is to run in one of them."""

    def __init__(self, name):
        self.name = name
        self.ours = ["ip", "netns", "exec", f"{name}-ours"]
        self.theirs = ["ip", "netns", "exec", f"{name}-theirs"]
        self.interface = "va"

    def af_packet(self, queues=1):
        return (f"net_af_packet0,iface={self.interface},qpairs={queues},"
                "blocksz=4096,framesz=2048,framecnt=512")

    def af_xdp(self, queues=1):
        return f"net_af_xdp0,iface={self.interface},queue_count={queues}"

    def up(self):
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        if not shutil.which("ip"):
            raise Unavailable("needs iproute2")
        for end in ("ours", "theirs"):
            run("ip", "netns", "add", f"{self.name}-{end}")
        run("ip", "-n", f"{self.name}-ours", "link", "add", "va", "type", "veth", "peer", "name",
            "vb", "netns", f"{self.name}-theirs")
        for end, interface, addresses in (("ours", "va", (f"{OURS}/24", f"{OURS_V6}/64")),
                                          ("theirs", "vb", (f"{THEIRS}/24", f"{THEIRS_V6}/64"))):
            ip = ["ip", "-n", f"{self.name}-{end}"]
            run(*ip, "link", "set", "lo", "up")
            run(*ip, "addr", "add", addresses[0], "dev", interface)
            run(*ip, "addr", "add", addresses[1], "dev", interface, "nodad")
            run(*ip, "link", "set", interface, "up")
        run(*self.theirs, sys.executable, __file__, "plain", "vb")

    def down(self):
        if not shutil.which("ip"):
            return
        for end in ("ours", "theirs"):
            subprocess.run(["ip", "netns", "del", f"{self.name}-{end}"], capture_output=True,
                           check=False)

    def flush(self):
        """Takes our kernel's addresses away, for a port that has the interface to itself."""
        run("ip", "-n", f"{self.name}-ours", "addr", "flush", "dev", "va")


@contextlib.contextmanager
def veth():
    """A veth pair between two namespaces of this process's own."""
    link = Veth(f"sluice{os.getpid()}")
    try:
        link.up()
        yield link
    finally:
        link.down()


@contextlib.contextmanager
def namespace():
    """A network namespace of this process's own: the beginning of a command to run in it."""
    if os.geteuid() != 0 or not pathlib.Path("/dev/net/tun").exists():
        raise Unavailable("a tap in a namespace needs root and /dev/net/tun")
    if not shutil.which("ip"):
        raise Unavailable("needs iproute2")
    name = f"sluice{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def tap(interface):
    """--vdev of a port whose other end is a kernel interface; see attach_tap."""
    if os.geteuid() != 0 or not pathlib.Path("/dev/net/tun").exists():
        raise Unavailable("a tap needs root and /dev/net/tun")
    return f"net_tap_{interface},iface={interface},mac=02:00:00:00:07:01"


def attach_tap(interface, pid_namespace, address):
    """Once the port runs: moves the kernel's end into the namespace of a process, gives it a MAC
    that is not the port's, and an address such as 10.78.0.2/24."""
    run("ip", "link", "set", interface, "netns", str(pid_namespace))
    inside = ["nsenter", "-t", str(pid_namespace), "-n", "ip"]
    run(*inside, "link", "set", interface, "address", "02:00:00:00:07:07")
    run(*inside, "addr", "add", address, "dev", interface)
    run(*inside, "link", "set", interface, "up")


def plain(interface):
    """Switches off what a virtual interface leaves to hardware that it has not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            value = bytearray(struct.pack("II", command, 0))
            place = ctypes.addressof(ctypes.c_char.from_buffer(value))
            request = struct.pack("16sP16x", interface.encode(), place)
            try:
                fcntl.ioctl(control, SIOCETHTOOL, request)
            except OSError:
                pass  # it has no such offload


def has_af_xdp():
    try:
        socket.socket(44, socket.SOCK_RAW).close()  # AF_XDP
        return True
    except OSError:
        return False


def check():
    def say(what, can, why=""):
        print(f"{what:24} {'yes' if can else 'no: ' + why}")

    say("memif, ring, null", True)
    try:
        with veth():
            say("veth with af_packet", True)
            say("veth with af_xdp", has_af_xdp(), "the kernel has no AF_XDP, or forbids it")
    except Unavailable as reason:
        say("veth", False, str(reason))
    try:
        tap("t")
        say("tap", True)
    except Unavailable as reason:
        say("tap", False, str(reason))
    say("exception by vhost-net", os.path.exists("/dev/vhost-net"), "no /dev/vhost-net, a tap is")
    say("guest in qemu", shutil.which("qemu-system-x86_64") and shutil.which("cpio"),
        "needs qemu-system-x86 and cpio")


def main():
    words = sys.argv[1:]
    try:
        if words == ["check"]:
            check()
        elif len(words) == 2 and words[0] == "up":
            Veth(words[1]).up()
        elif len(words) == 2 and words[0] == "down":
            Veth(words[1]).down()
        elif len(words) == 2 and words[0] == "plain":
            plain(words[1])
        else:
            sys.exit(__doc__)
    except Unavailable as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
