"""The guest's kernel and root file system: the program, what it is linked with, drivers, modules.

Debian's kernel and busybox come from their packages, everything else from this machine.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

PYTHON = "/usr/bin/python3"
INSIDE = pathlib.Path(__file__).with_name("guest_inside.py")
DRIVERS = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0"
DRIVERS_WANTED = re.compile(r"librte_(bus_pci|bus_vdev|mempool_ring|net_virtio|net_e1000|"
                            r"net_vmxnet3|net_tap)\.so\.23\.0")
INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var/run /sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
mkdir -p /dev/hugepages /dev/net
mount -t tmpfs tmpfs /run
mount -t hugetlbfs hugetlbfs /dev/hugepages
for module in @MODULES@; do insmod /modules/$module.ko || echo "rig: no $module"; done
ip link set lo up
@PROGRAM@
echo "rig: the program ended with $?"
poweroff -f
"""


def lacking(what):
    print(f"skipped: {what}")
    sys.exit(77)


def libraries(path):
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def kernel_package():
    shown = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True,
                           text=True, check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", shown)
    if not found:
        lacking("apt knows no linux-image-amd64")
    return found[1]


def kernel_files(folder):
    """Unpacks the kernel and busybox of this machine's Debian release."""
    packages = [kernel_package(), "busybox-static"]
    fetched = subprocess.run(["apt-get", "-q", "download", *packages], cwd=folder, check=False,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if fetched.returncode:
        lacking(f"apt-get download: {fetched.stderr.decode(errors='replace').strip()[-300:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / "unpacked"], check=True)
    return folder / "unpacked"


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


def copy_linked(source, root):
    copy(source, root)
    for library in libraries(source):
        copy(library, root)


def python_files():
    """Files of the modules that INSIDE needs."""
    words = ("import sys, guest_inside\n"
             "for module in list(sys.modules.values()):\n"
             "    print(getattr(module, '__file__', None) or '')")
    environment = {**os.environ, "PYTHONPATH": str(INSIDE.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    shown = subprocess.run([PYTHON, "-S", "-c", words], env=environment, capture_output=True,
                           text=True, check=False)
    if shown.returncode:
        lacking(f"{PYTHON}: {shown.stderr.strip()[-300:]}")
    return [path for path in shown.stdout.split() if path != str(INSIDE)]


def copy_python(root):
    copy_linked(PYTHON, root)
    for path in python_files():
        copy_linked(path, root)
    shutil.copy(INSIDE, root / INSIDE.name)


def make_root(root, unpacked, programs, modules, run):
    """`programs`: paths by the names that they get in the guest's root; `run`: what init runs."""
    (root / "bin").mkdir(parents=True)
    (root / "modules").mkdir()
    shutil.copy(unpacked / "bin/busybox", root / "bin/busybox")
    for module in modules:
        found = list(unpacked.rglob(f"{module}.ko"))
        if found:
            shutil.copy(found[0], root / "modules" / f"{module}.ko")
    for name, path in programs.items():
        # Where it was, because it may look for its libraries from there.
        path = os.path.realpath(path)
        copy_linked(path, root)
        (root / name).symlink_to(path)
    for driver in pathlib.Path(DRIVERS).iterdir():
        if DRIVERS_WANTED.fullmatch(driver.name):
            copy_linked(driver, root)
    copy_python(root)
    (root / "init").write_text(INIT.replace("@MODULES@", " ".join(modules))
                               .replace("@PROGRAM@", run))
    (root / "init").chmod(0o755)


def pack(root, archive):
    names = subprocess.run(["find", ".", "-print0"], cwd=root, capture_output=True, check=True)
    with open(archive, "wb") as out:
        subprocess.run(["cpio", "--null", "-o", "--format=newc", "--quiet"], cwd=root,
                       input=names.stdout, stdout=out, check=True)
