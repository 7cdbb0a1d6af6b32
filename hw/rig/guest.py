#!/usr/bin/env python3
"""A Debian kernel in qemu with an emulated NIC bound to vfio-pci, and a program that drives it.

    hw/rig/guest.py --nic virtio|e1000e|vmxnet3 --program build/sluiced [--timeout S]

The guest has an emulated IOMMU (Debian's kernels are built without VFIO's no-IOMMU mode), a hundred
or so hugepages, vhost-net and a root file system in memory that holds the program, the libraries
that it is linked with and DPDK's drivers.  Its NIC is the program's port, and clients are outside, on this host,
behind qemu's user network:

    sluiced      `sluice` produces and consumes over udp://, kcat does over TCP, which reaches the
                 guest's kernel through the exception path; each reads what the other wrote
    port_bench   (build/bench/port_bench) datagrams come back from the port, and the guest's kernel
                 answers a TCP connection

Ends with 0 when both work, 77 when this machine lacks something, which it names.
"""
import argparse
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

MODULES = ["irqbypass", "vfio_virqfd", "vfio", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci",
           "tun", "tap", "vhost_iotlb", "vhost", "vhost_net"]
NICS = {"virtio": "virtio-net-pci,iommu_platform=on,disable-legacy=on", "e1000e": "e1000e",
        "vmxnet3": "vmxnet3"}
ADDRESS = "192.0.2.1"
UDP_PORT = 9500
TCP_PORT = 9092
RECORDS = 2000
CLIENT_SECONDS = 60
ECHO = f"""while :; do nc -l -p {TCP_PORT} < /tmp/words > /dev/null; done &
/program echo $nic kernel"""
# Two shards on the one queue.  The datagrams' ports are those that Metadata tells, so qemu's
# forwards have the same numbers outside.
BROKER = """/program --shards 2 --listen {address}:{port} --set advertised.listen=127.0.0.1:{port} \\
	--set datagram.listen=none --set dpdk.port=$nic --set dpdk.address={address}/24 \\
	--set dpdk.hugepages=true --data /tmp/data --set num.partitions=4"""
DRIVERS = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0"
INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var/run /sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
mkdir -p /dev/hugepages /dev/net
mount -t tmpfs tmpfs /tmp
mount -t hugetlbfs hugetlbfs /dev/hugepages
for module in @MODULES@; do insmod /modules/$module.ko || echo "rig: no $module"; done
ip link set lo up
nic=$(grep -l 0x020000 /sys/bus/pci/devices/*/class | head -n 1)
nic=${nic%/class}
nic=${nic##*/}
echo vfio-pci > /sys/bus/pci/devices/$nic/driver_override
echo $nic > /sys/bus/pci/drivers_probe
echo "rig: NIC $nic group $(readlink /sys/bus/pci/devices/$nic/iommu_group)"
echo "the kernel of the guest" > /tmp/words
@PROGRAM@
echo "rig: the program ended with $?"
poweroff -f
"""


def lacking(what):
    print(f"skipped: {what}")
    sys.exit(77)


def libraries(path):
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def kernel_files(folder, packages):
    """Unpacks the kernel and busybox of this machine's Debian release."""
    fetched = subprocess.run(["apt-get", "-q", "download", *packages], cwd=folder, check=False,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if fetched.returncode:
        lacking(f"apt-get download: {fetched.stderr.decode(errors='replace').strip()[-300:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / "unpacked"], check=True)
    return folder / "unpacked"


def kernel_package():
    shown = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True,
                           text=True, check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", shown)
    if not found:
        lacking("apt knows no linux-image-amd64")
    return found[1]


def copy(source, root):
    """The file once, and links to it: a library that is two files would be loaded twice."""
    real = os.path.realpath(source)
    target = root / real.lstrip("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real, target)
    link = root / str(source).lstrip("/")
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(real)


def make_root(root, unpacked, program, drivers, run):
    (root / "bin").mkdir(parents=True)
    (root / "modules").mkdir()
    shutil.copy(unpacked / "bin/busybox", root / "bin/busybox")
    for module in MODULES:
        found = list(unpacked.rglob(f"{module}.ko"))
        if found:
            shutil.copy(found[0], root / "modules" / f"{module}.ko")
    shutil.copy(program, root / "program")
    for library in libraries(program):
        copy(library, root)
    for driver in drivers:
        copy(driver, root)
        for library in libraries(driver):
            copy(library, root)
    init = INIT.replace("@MODULES@", " ".join(MODULES)).replace("@PROGRAM@", run)
    (root / "init").write_text(init)
    (root / "init").chmod(0o755)


def pack(root, archive):
    names = subprocess.run(["find", ".", "-print0"], cwd=root, capture_output=True, check=True)
    with open(archive, "wb") as out:
        subprocess.run(["cpio", "--null", "-o", "--format=newc", "--quiet"], cwd=root,
                       input=names.stdout, stdout=out, check=True)


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


def start_qemu(options, kernel, archive, log, forwards):
    network = "user,id=n0,net=192.0.2.0/24,host=192.0.2.254,dhcpstart=192.0.2.100"
    for kind, outside, inside in forwards:
        network += f",hostfwd={kind}:127.0.0.1:{outside}-{ADDRESS}:{inside}"
    kvm = options.kvm
    command = ["qemu-system-x86_64", "-machine", "q35" + (",kernel-irqchip=split" if kvm else ""),
               "-accel", "kvm" if kvm else "tcg", "-cpu", "host" if kvm else "max", "-m", "1536",
               "-smp", "2", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
               "-device", "intel-iommu,intremap=on", "-netdev", network,
               "-device", NICS[options.nic] + ",netdev=n0", "-kernel", kernel, "-initrd", archive,
               "-append", "console=ttyS0 quiet intel_iommu=on iommu=nopt hugepages=160"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                            stderr=subprocess.STDOUT)


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
    while words not in log.read_text(errors="replace"):
        if time.monotonic() > until or qemu.poll() is not None:
            raise OSError(f"not seen: {words}")
        time.sleep(0.1)


def ask_broker(sluice, port, number):
    """Records go in over datagrams and over TCP; each side reads what the other wrote."""
    given = b"".join(b"%08d of run %d, %s\n" % (line, number, b"x" * (line % 200))
                     for line in range(RECORDS))
    datagrams = [sluice, "-b", f"udp://127.0.0.1:{port}"]
    stream = ["kcat", "-b", f"127.0.0.1:{port}"]
    begun = time.monotonic()
    run_client([*datagrams, "topic", "create", "datagrams", "stream", "-P", "4"])
    run_client([*datagrams, "produce", "datagrams", "-a", "all"], given)
    run_client([*stream, "-P", "-t", "stream", "-X", "acks=all"], given)
    print(f"{RECORDS} records over each, in {time.monotonic() - begun:.1f} s")
    failed = []
    for topic in ("datagrams", "stream"):
        for name, words in (
                ("datagrams", [*datagrams, "consume", topic, "-e"]),
                ("TCP", [*stream, "-C", "-t", topic, "-e", "-q", "-o", "beginning"])):
            printed = run_client(words)
            if sorted(printed.splitlines()) != given.splitlines():
                failed.append(f"{topic} read over {name}")
    return failed


def ask(options, qemu, log, port, until):
    try:
        if options.sluice is None:
            return ask_echo(qemu, port, until)
        wait_for(qemu, log, "ready listen=", until)
        return ask_broker(options.sluice, port, os.getpid())
    except (OSError, subprocess.TimeoutExpired) as reason:
        return [str(reason)]


def set_client(options):
    """`sluice` is built beside sluiced; other programs need none."""
    options.sluice = None
    if options.program.name != "sluiced":
        return
    if not shutil.which("kcat"):
        lacking("needs kcat")
    folder = options.program.resolve().parent
    for candidate in (folder / "sluice", folder.parent / "client/sluice"):
        if candidate.exists():
            options.sluice = str(candidate)
            return
    lacking("needs sluice beside sluiced")


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
    port = free_port()
    if options.sluice:
        run = BROKER.format(address=ADDRESS, port=port)
        forwards = [("tcp", port, port), ("udp", port, port), ("udp", port + 1, port + 1)]
    else:
        run = ECHO
        forwards = [("tcp", port, TCP_PORT), ("udp", port, UDP_PORT)]
    until = time.monotonic() + options.timeout
    with tempfile.TemporaryDirectory(prefix="sluice_rig_") as name:
        folder = pathlib.Path(name)
        unpacked = kernel_files(folder, [kernel_package(), "busybox-static"])
        drivers = sorted(pathlib.Path(DRIVERS).glob("librte_*.so.23.0"))
        wanted = re.compile(r"librte_(bus_pci|bus_vdev|mempool_ring|net_virtio|net_e1000|"
                            r"net_vmxnet3|net_tap)\.so")
        make_root(folder / "root", unpacked, options.program,
                  [driver for driver in drivers if wanted.match(driver.name)], run)
        pack(folder / "root", folder / "initrd")
        kernel = next((unpacked / "boot").glob("vmlinuz-*"))
        with open(folder / "log", "wb") as log:
            begun = time.monotonic()
            qemu = start_qemu(options, kernel, folder / "initrd", log, forwards)
            try:
                failed = ask(options, qemu, folder / "log", port, until)
            finally:
                qemu.kill()
                qemu.wait()
        print((folder / "log").read_text(errors="replace")[-4000:])
        print(f"{options.nic}: {'FAILED: ' + ', '.join(failed) if failed else 'datagrams and TCP ok'}"
              f", {time.monotonic() - begun:.0f} s")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
