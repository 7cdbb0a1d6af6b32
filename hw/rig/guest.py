#!/usr/bin/env python3
"""A Debian kernel in qemu with an emulated NIC bound to vfio-pci, and a program that drives it.

    hw/rig/guest.py --nic virtio|e1000e|vmxnet3 --program build/bench/port_bench [--timeout S]

The guest has an emulated IOMMU (Debian's kernels are built without VFIO's no-IOMMU mode), a hundred
or so hugepages, vhost-net and a root file system in memory that holds the program, the libraries
that it is linked with and DPDK's drivers.  Its NIC is the port of `port_bench echo ... kernel`.
From outside, through qemu's user network, this script sends datagrams, which come back from the
port, and speaks TCP to the guest's kernel, which is reached through the exception path.

Ends with 0 when both work, 77 when this machine lacks something, which it names.
"""
import argparse
import os
import pathlib
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
DRIVERS = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0"
INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var/run /sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
mkdir -p /dev/hugepages /dev/net
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
while :; do nc -l -p @TCP_PORT@ < /tmp/words > /dev/null; done &
/program echo $nic kernel
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
    subprocess.run(["apt-get", "-q", "download", *packages], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def make_root(root, unpacked, program, drivers):
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
    init = INIT.replace("@MODULES@", " ".join(MODULES)).replace("@TCP_PORT@", str(TCP_PORT))
    (root / "init").write_text(init)
    (root / "init").chmod(0o755)


def pack(root, archive):
    names = subprocess.run(["find", ".", "-print0"], cwd=root, capture_output=True, check=True)
    with open(archive, "wb") as out:
        subprocess.run(["cpio", "--null", "-o", "--format=newc", "--quiet"], cwd=root,
                       input=names.stdout, stdout=out, check=True)


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_qemu(options, kernel, archive, log, udp, tcp):
    network = (f"user,id=n0,net=192.0.2.0/24,host=192.0.2.254,dhcpstart=192.0.2.100,"
               f"hostfwd=udp:127.0.0.1:{udp}-{ADDRESS}:{UDP_PORT},"
               f"hostfwd=tcp:127.0.0.1:{tcp}-{ADDRESS}:{TCP_PORT}")
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
    until = time.monotonic() + options.timeout
    with tempfile.TemporaryDirectory(prefix="sluice_rig_") as name:
        folder = pathlib.Path(name)
        unpacked = kernel_files(folder, [kernel_package(), "busybox-static"])
        drivers = sorted(pathlib.Path(DRIVERS).glob("librte_*.so.23.0"))
        wanted = re.compile(r"librte_(bus_pci|bus_vdev|mempool_ring|net_virtio|net_e1000|"
                            r"net_vmxnet3|net_tap)\.so")
        make_root(folder / "root", unpacked, options.program,
                  [driver for driver in drivers if wanted.match(driver.name)])
        pack(folder / "root", folder / "initrd")
        kernel = next((unpacked / "boot").glob("vmlinuz-*"))
        udp, tcp = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        with open(folder / "log", "wb") as log:
            begun = time.monotonic()
            qemu = start_qemu(options, kernel, folder / "initrd", log, udp, tcp)
            try:
                datagrams = ask_datagrams(qemu, udp, 200, until)
                stream = datagrams and ask_stream(tcp, until)
            finally:
                qemu.kill()
                qemu.wait()
        print((folder / "log").read_text(errors="replace")[-4000:])
        print(f"{options.nic}: datagrams {'ok' if datagrams else 'FAILED'}, "
              f"TCP {'ok' if stream else 'FAILED'}, {time.monotonic() - begun:.0f} s")
        return 0 if datagrams and stream else 1


if __name__ == "__main__":
    sys.exit(main())
