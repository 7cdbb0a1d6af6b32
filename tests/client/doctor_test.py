"""`sluice doctor` on hosts with one fault each: it names the fault and its cure."""
import json
import re
import subprocess

import host_tree
import pytest
from host_tree import HUGE, NIC
from sluice_process import SECONDS, program

CPU = "sys/devices/system/cpu"
DEVICE = f"sys/bus/pci/devices/{NIC}"
NODE = "sys/devices/system/node"
CLOCK = "sys/devices/system/clocksource/clocksource0"
QUEUE = "sys/dev/block/259:0/queue"


@pytest.fixture
def tree(tmp_path):
    return host_tree.HostTree(tmp_path)


def doctor(tree, *words, code=None):
    done = subprocess.run([str(program().resolve()), "doctor", "--root", str(tree.root), *words],
                          capture_output=True, timeout=SECONDS, check=False, text=True)
    assert done.stderr == "" and (code is None or done.returncode == code), done
    return done


def checks(tree, *words, code=None):
    told = json.loads(doctor(tree, "--nic", "ens1", "-o", "json", *words, code=code).stdout)
    return {check["id"]: check for check in told["checks"]}


def bind(tree):
    """What is left to do on the healthy host, with a driver that it remembers."""
    tree.link(f"{DEVICE}/driver", "sys/bus/pci/drivers/vfio-pci")
    tree.remove("sys/class/net/ens1")
    tree.remove(f"{DEVICE}/net")
    tree.write(f"var/lib/sluice-host/nic/{NIC}", "ice")


def one_queue(tree):
    """As ice has it without its package."""
    for queue in range(1, 16):
        tree.remove(f"{DEVICE}/net/ens1/queues/rx-{queue}")


def with_driver(name):
    return lambda tree: tree.link(f"{DEVICE}/driver", f"sys/bus/pci/drivers/{name}")


def no_group(tree):
    tree.remove(f"{DEVICE}/iommu_group")
    tree.write("proc/cmdline", "root=/dev/nvme0n1p1 isolcpus=2-7")


def no_group_though_asked(tree):
    tree.remove(f"{DEVICE}/iommu_group")


def busy_siblings(tree):
    for cpu in range(2, 8):
        tree.write(f"{CPU}/cpu{cpu}/topology/thread_siblings_list", f"{cpu},{cpu + 6}")


def no_isolation(tree):
    tree.write(f"{CPU}/isolated", "")
    tree.replace("proc/self/status", "0-1,8-15", "0-15")


def swap(tree):
    tree.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2\tpartition\t1\t0\t-2")
    tree.write("proc/sys/vm/swappiness", 60)


def irqbalance(tree):
    no_isolation(tree)
    tree.write("proc/77/comm", "irqbalance")


def container(tree):
    tree.write(".dockerenv", "")
    tree.replace("proc/self/status", "Seccomp:\t0", "Seccomp:\t2")
    tree.write("calls/io_uring_setup", 1)


def second_device(tree):
    tree.pci("0000:3b:00.1", "ice", "ens2", node=0, group=12)


def hidden_cache(tree):
    tree.write(f"{QUEUE}/write_cache", "write through")
    tree.write(f"{QUEUE}/../device/scsi_disk/0:0:0:0/cache_type", "write back")


def put(path, text):
    return lambda tree: tree.write(path, text)


def gone(path):
    return lambda tree: tree.remove(path)


def change(path, old, new):
    return lambda tree: tree.replace(path, old, new)


# The check, what is wrong, how bad that is, what the finding and the cure have to say.
FAULTS = [
    ("cpu-count", change("proc/self/status", "0-1,8-15", "3"), "warn", "1 of 16", "AllowedCPUs"),
    ("cpu-quota", put("sys/fs/cgroup/user.slice/cpu.max", "150000 100000"), "warn", "1.50",
     "CPUQuota="),
    ("isolation", no_isolation, "warn", "No core", r"isolcpus=2-7 .*update-grub"),
    ("nohz-full", put(f"{CPU}/nohz_full", ""), "warn", "2-7", "nohz_full=2-7 rcu_nocbs=2-7"),
    ("smt", busy_siblings, "warn", "8-13", "smt/control"),
    ("numa-cores", put(f"{DEVICE}/numa_node", 1), "warn", "node 1.*2-7", r"node 1 \(8-15\)"),
    ("numa-balancing", put("proc/sys/kernel/numa_balancing", 1), "warn", "2 nodes",
     "kernel.numa_balancing=0"),
    ("governor", put(f"{CPU}/cpu3/cpufreq/scaling_governor", "powersave"), "warn", "cores 3$",
     "frequency-set -g performance"),
    ("turbo", put(f"{CPU}/intel_pstate/no_turbo", 1), "warn", "Off", "echo 0 >.*no_turbo"),
    ("idle-states", put(f"{CPU}/cpu4/cpuidle/state2/latency", 133), "warn", "133 us",
     "idle-set -D 50"),
    ("irqbalance", irqbalance, "warn", "Running", "disable --now irqbalance"),
    ("irq-affinity", put("proc/irq/25/smp_affinity_list", "4-5"), "warn", "1 interrupts.*25",
     "echo 0-1,8-15 > /proc/irq/25/"),
    ("clock-source", put(f"{CLOCK}/current_clocksource", "hpet"), "fail", "hpet", "echo tsc >"),
    ("hugepages", put(f"sys/kernel/mm/{HUGE}", 0), "fail", "^0 MiB", "vm.nr_hugepages=512"),
    ("hugepages-node", put(f"{NODE}/node0/{HUGE}", 8), "fail", "16 MiB on the NIC's node 0",
     "echo 512 > .*node0/.*nr_hugepages"),
    ("hugetlbfs", change("proc/self/mountinfo", "- hugetlbfs", "- tmpfs"), "warn", "Not mounted",
     "mount -t hugetlbfs"),
    ("transparent-hugepages", put("sys/kernel/mm/transparent_hugepage/enabled",
                                  "[always] madvise never"), "warn", "always", "echo madvise >"),
    ("swap", swap, "warn", "swappiness is 60", "swapoff -a"),
    ("memlock", change("proc/self/limits", "unlimited", "8388608  "), "warn", "8192 KiB",
     "LimitMEMLOCK=infinity"),
    ("nic-driver", with_driver("r8169"), "fail", "no driver for.*r8169", "net_af_packet"),
    ("nic-needed", change("proc/net/route", "eno1\t0002", "ens1\t0002"), "warn",
     "ens1.*10.0.2.0/24|ens1.*ssh session of 10.0.2.9", "another NIC"),
    ("iommu", no_group, "fail", "Off", "intel_iommu=on iommu=pt .*update-grub"),
    ("iommu", no_group_though_asked, "fail", "was asked", "VT-d"),
    ("iommu-group", second_device, "fail", "0000:3b:00.1.*group 12", "nic bind 0000:3b:00.1"),
    ("vfio", gone("sys/bus/pci/drivers/vfio-pci"), "fail", "not loaded", "modprobe vfio-pci"),
    ("nic-queues", one_queue, "warn", "1, for 6 shards", "ethtool -L ens1 combined 6"),
    ("nic-steering", with_driver("vmxnet3"), "warn", "RSS", "mlx5"),
    ("nic-link", put(f"{DEVICE}/net/ens1/carrier", 0), "fail", "ens1 has none",
     "ip link set ens1 up"),
    ("nic-mtu", put(f"{DEVICE}/net/ens1/mtu", 1280), "warn", "1280", "mtu 1500"),
    ("nic-pcie", put(f"{DEVICE}/current_link_width", 4), "warn", "4 lanes.*8 of", "8 lanes"),
    ("nic-firmware", one_queue, "warn", "package was not loaded", "firmware-misc-nonfree"),
    ("kernel-version", put("proc/sys/kernel/osrelease", "5.10.0-9-amd64"), "warn", "before 6.1",
     "linux-image-amd64"),
    ("io-uring", put("proc/sys/kernel/io_uring_disabled", 2), "warn", "to all",
     "io_uring_disabled=0"),
    ("io-uring", container, "warn", "Operation not permitted", "seccomp=FILE"),
    ("file-descriptors", change("proc/self/limits", "1048576", "4096   "), "warn", "^4096",
     "LimitNOFILE=1048576"),
    ("listen-queue", put("proc/sys/net/core/somaxconn", 128), "warn", "128", "somaxconn=4096"),
    ("socket-buffers", put("proc/sys/net/core/rmem_max", 212992), "warn", "208 KiB to receive",
     "rmem_max=8388608"),
    ("sandbox", container, "warn", "In a container.*refuses", "io = sync"),
    ("file-system", change("proc/self/mountinfo", "- xfs /dev/nvme0n1p2", "- tmpfs tmpfs"), "fail",
     "gone with the power", "mkfs.xfs"),
    ("file-system", change("proc/self/mountinfo", "- xfs", "- btrfs"), "warn", "btrfs", "mkfs.xfs"),
    ("mount-options", change("proc/self/mountinfo", "rw,attr2", "rw,nobarrier"), "fail",
     "nobarrier", "remount,barrier /var/lib/sluice"),
    ("write-cache", hidden_cache, "fail", "told not to flush", "echo 'write back'"),
    ("flush-latency", put("calls/flush", "9000 31000"), "warn", "9000 us.*31000 us", "power-loss"),
    ("disk-scheduler", put(f"{QUEUE}/scheduler", "none mq-deadline [bfq]"), "warn", "^bfq",
     "echo none >"),
    ("alignment", put("sys/dev/block/259:3/start", 63), "warn", "sector 63", "parted -a optimal"),
    ("free-space", put("calls/space", f"{4 << 40} {1 << 33}"), "warn", "8.0 GiB",
     "log.retention.bytes"),
]


@pytest.mark.parametrize("name, fault, status, found, cure", FAULTS,
                         ids=[f"{i}-{fault[0]}" for i, fault in enumerate(FAULTS)])
def test_a_fault_is_named_with_its_cure(tree, name, fault, status, found, cure):
    fault(tree)
    check = checks(tree)[name]
    assert check["status"] == status, check
    assert re.search(found, check["found"]), check
    assert re.search(cure, check["cure"]), check
    assert check["why"] and check["title"]


def test_a_host_without_fault_is_not_complained_of(tree):
    bind(tree)
    told = json.loads(doctor(tree, "-o", "json", code=0).stdout)
    assert [check for check in told["checks"] if check["status"] in ("warn", "fail")] == []
    assert told["warn"] == told["fail"] == 0 and told["ok"] >= 35
    assert all(check["cure"] is None for check in told["checks"])


def test_every_check_has_a_fault_and_finds_none_before(tree):
    told = checks(tree)
    assert {fault[0] for fault in FAULTS} == set(told)
    # All that is left to do with the NIC is to bind it.
    assert {name for name, check in told.items() if check["status"] != "ok"} == {"nic-driver"}
    assert told["nic-driver"]["cure"] == f"sluice nic bind {NIC}"


def test_warnings_leave_the_exit_code_alone_and_failures_do_not(tree):
    assert checks(tree, code=0)["nic-driver"]["status"] == "warn"
    tree.remove("sys/bus/pci/drivers/vfio-pci")
    checks(tree, code=1)


def test_the_table_has_cures_below_it_and_what_was_skipped(tree):
    tree.write("proc/sys/net/core/somaxconn", 128)
    lines = doctor(tree, code=0).stdout.splitlines()
    assert re.match(r"STATUS +AREA +CHECK +FOUND", lines[5])
    assert "    sysctl -w net.core.somaxconn=4096   (sluice tune does it)" in lines
    assert any("--nic" in line and "hugepages" in line for line in lines)


def test_without_a_nic_a_small_machine_is_left_in_peace(tree):
    """A laptop: two cores, no NIC of the broker's own, nothing isolated, a shell's limits."""
    tree.write(f"{CPU}/online", "0-1")
    tree.write(f"{CPU}/isolated", "")
    tree.replace("proc/self/status", "0-1,8-15", "0-1")
    told = json.loads(doctor(tree, "-o", "json", code=0).stdout)
    assert told["warn"] == told["fail"] == 0


def test_a_nic_that_is_not_there_is_said(tree):
    done = subprocess.run([str(program().resolve()), "doctor", "--root", str(tree.root), "--nic",
                           "ens9"], capture_output=True, timeout=SECONDS, check=False, text=True)
    assert done.returncode == 2 and "'ens9'" in done.stderr and "nic show" in done.stderr


def test_links_of_a_tree_do_not_lead_out_of_it(tree):
    """Absolute links are of the tree: what is read is the tree's file, not this machine's."""
    tree.write("etc/uptime", "5.10.0-from-the-tree")
    tree.remove("proc/sys/kernel/osrelease")
    (tree.root / "proc/sys/kernel/osrelease").symlink_to("/etc/uptime")
    assert "from-the-tree" in checks(tree)["kernel-version"]["found"]
