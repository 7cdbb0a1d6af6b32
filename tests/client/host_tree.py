"""A folder that stands for / of a broker host without fault: sysfs, procfs and what system calls would
answer, for --root.

Sixteen cores in two memory nodes, cores 2 to 7 isolated; the NIC 0000:3b:00.0 (ens1, ice) on node 0
in IOMMU group 12, idle; the host itself reached by eno1; data on the NVMe partition nvme0n1p2.
"""
import os
import shutil

CPUS = range(16)
NIC = "0000:3b:00.0"
HOUSE = "0000:01:00.0"
HUGE = "hugepages/hugepages-2048kB/nr_hugepages"

LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 1048576              files
Max locked memory         unlimited            unlimited            bytes
"""
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eno1\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eno1\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
ROUTES_IPV6 = (f"{'0' * 32} 00 {'0' * 32} 00 fd{'0' * 29}1 00000400 00000003 00000000 00000003"
               "     eno1\n")
ADDRESSES_IPV6 = ("fd000000000000000000000000000002 02 40 00 82     eno1\n"
                  "fe8000000000000000fc00fffe000001 03 40 20 80     ens1\n")
MOUNTS = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw
30 22 0:30 / /dev/hugepages rw,relatime shared:2 - hugetlbfs hugetlbfs rw,pagesize=2M
31 22 259:3 / /var/lib/sluice rw,noatime shared:3 - xfs /dev/nvme0n1p2 rw,attr2
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0502000A:0016 0902000A:C001 01 00000000:00000000 00:00000000 00000000     0        0 2
"""


class HostTree:
    """Paths are below the root, without '/' before them."""

    def __init__(self, root):
        self.root = root
        self.processors()
        self.memory()
        self.network()
        self.kernel()
        self.disk()

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n" if not str(text).endswith("\n") else text)

    def read(self, path):
        return (self.root / path).read_text().strip()

    def link(self, path, target):
        """A link to another path of the tree, which is made when it is not there."""
        path, target = self.root / path, self.root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # As sysfs does: from the folder that the link really lies in.
        path.symlink_to(os.path.relpath(target.resolve(), path.parent.resolve()))

    def replace(self, path, old, new):
        text = (self.root / path).read_text()
        assert old in text, (path, old)
        self.write(path, text.replace(old, new))

    def remove(self, path):
        path = self.root / path
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    # ---- what there is ----

    def processors(self):
        self.write("sys/devices/system/cpu/online", "0-15")
        self.write("sys/devices/system/cpu/isolated", "2-7")
        self.write("sys/devices/system/cpu/nohz_full", "2-7")
        self.write("sys/devices/system/cpu/intel_pstate/no_turbo", "0")
        for cpu in CPUS:
            folder = f"sys/devices/system/cpu/cpu{cpu}"
            self.write(f"{folder}/topology/thread_siblings_list", cpu)
            self.write(f"{folder}/cpufreq/scaling_governor", "performance")
            for state, latency in enumerate([0, 2, 10]):
                self.write(f"{folder}/cpuidle/state{state}/latency", latency)
                self.write(f"{folder}/cpuidle/state{state}/disable", 0)
        for node, cpus in enumerate(["0-7", "8-15"]):
            self.write(f"sys/devices/system/node/node{node}/cpulist", cpus)
        clock = "sys/devices/system/clocksource/clocksource0"
        self.write(f"{clock}/current_clocksource", "tsc")
        self.write(f"{clock}/available_clocksource", "tsc hpet acpi_pm")
        self.write("proc/irq/default_smp_affinity", "ff03")
        for number in (24, 25):
            self.write(f"proc/irq/{number}/smp_affinity_list", "0-1,8-15")
        self.write("proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel")

    def memory(self):
        self.write(f"sys/kernel/mm/{HUGE}", 1024)
        for node in (0, 1):
            self.write(f"sys/devices/system/node/node{node}/{HUGE}", 512)
        self.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
        self.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority")
        self.write("proc/sys/vm/swappiness", 1)
        self.write("proc/sys/kernel/numa_balancing", 0)

    def network(self):
        self.pci(HOUSE, "igb", "eno1", node=0, group=9)
        self.pci(NIC, "ice", "ens1", node=0, group=12)
        self.write("sys/bus/pci/drivers/vfio-pci/unbind", "")
        self.write("sys/bus/pci/drivers/vfio-pci/bind", "")
        self.write("sys/bus/pci/drivers_probe", "")
        self.write("dev/vfio/vfio", "")
        self.write("proc/net/route", ROUTES)
        self.write("proc/net/ipv6_route", ROUTES_IPV6)
        self.write("proc/net/if_inet6", ADDRESSES_IPV6)
        self.write("proc/net/tcp", TCP)
        self.write("calls/ethtool-ens1",
                   "driver: ice\nversion: 6.1.0\nfirmware-version: 4.40 0x8001c7d4 1.3534.0")

    def pci(self, address, driver, interface, node, group):
        device = f"sys/devices/pci0000:00/{address}"
        self.write(f"{device}/class", "0x020000")
        self.write(f"{device}/vendor", "0x8086")
        self.write(f"{device}/device", "0x159b")
        self.write(f"{device}/numa_node", node)
        self.write(f"{device}/driver_override", "(null)")
        self.write(f"{device}/uevent", f"DRIVER={driver}\nPCI_SLOT_NAME={address}")
        for which in ("current", "max"):
            self.write(f"{device}/{which}_link_speed", "16.0 GT/s PCIe")
            self.write(f"{device}/{which}_link_width", "8")
        for control in ("bind", "unbind"):
            self.write(f"sys/bus/pci/drivers/{driver}/{control}", "")
        net = f"{device}/net/{interface}"
        self.write(f"{net}/mtu", 9000)
        self.write(f"{net}/speed", 25000)
        self.write(f"{net}/carrier", 1)
        for queue in CPUS:
            self.write(f"{net}/queues/rx-{queue}/rps_cpus", 0)
        self.link(f"sys/bus/pci/devices/{address}", device)
        self.link(f"sys/kernel/iommu_groups/{group}/devices/{address}", device)
        self.link(f"{device}/driver", f"sys/bus/pci/drivers/{driver}")
        self.link(f"{device}/iommu_group", f"sys/kernel/iommu_groups/{group}")
        self.link(f"{net}/device", device)
        self.link(f"sys/class/net/{interface}", net)

    def kernel(self):
        self.write("proc/sys/kernel/osrelease", "6.1.0-25-amd64")
        self.write("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555")
        self.write("proc/sys/kernel/io_uring_disabled", 0)
        self.write("proc/sys/net/core/somaxconn", 4096)
        self.write("proc/sys/net/core/rmem_max", 16 << 20)
        self.write("proc/sys/net/core/wmem_max", 16 << 20)
        self.write("proc/cmdline", "root=/dev/nvme0n1p1 intel_iommu=on iommu=pt isolcpus=2-7")
        self.write("proc/self/limits", LIMITS)
        self.write("proc/self/status", "Name:\tsluice\nSeccomp:\t0\nCpus_allowed_list:\t0-1,8-15")
        self.write("proc/self/cgroup", "0::/user.slice")
        self.write("sys/fs/cgroup/user.slice/cpu.max", "max 100000")
        self.write("calls/io_uring_setup", 0)

    def disk(self):
        self.write("proc/self/mountinfo", MOUNTS)
        device = "sys/devices/pci0000:00/0000:02:00.0/nvme/nvme0/nvme0n1"
        self.write(f"{device}/dev", "259:0")
        self.link("sys/dev/block/259:0", device)
        self.write(f"{device}/queue/scheduler", "[none] mq-deadline bfq")
        self.write(f"{device}/queue/write_cache", "write back")
        self.write(f"{device}/queue/rotational", 0)
        self.write(f"{device}/queue/physical_block_size", 4096)
        for number, start in ((1, 2048), (2, 41945088)):
            part = f"{device}/nvme0n1p{number}"
            self.write(f"{part}/partition", number)
            self.write(f"{part}/start", start)
            self.write(f"{part}/alignment_offset", 0)
            self.link(f"sys/dev/block/259:{number + 1}", part)
        (self.root / "var/lib/sluice").mkdir(parents=True)
        self.write("calls/flush", "25 110")
        self.write("calls/space", f"{4 << 40} {3 << 40}")
