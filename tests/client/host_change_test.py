"""`sluice nic` and `sluice tune` on a tree that stands for a host: what they would do, do, and undo."""
import json
import os
import pathlib
import subprocess

import harness
import host_tree
import pytest
from host_tree import HOUSE, NIC
from sluice_process import SECONDS, program

DEVICE = f"sys/bus/pci/devices/{NIC}"
LAYOUT = "etc/sluice/conf.d/60-host.conf"
STATE = "var/lib/sluice-host/tune.json"


@pytest.fixture
def tree(tmp_path):
    return host_tree.HostTree(tmp_path / "host")


def sluice(tree, *words, code=0, ssh=None):
    environment = {key: value for key, value in os.environ.items() if key != "SSH_CONNECTION"}
    if ssh:
        environment["SSH_CONNECTION"] = ssh
    done = subprocess.run([str(program().resolve()), *words, "--root", str(tree.root)],
                          capture_output=True, timeout=SECONDS, check=False, text=True,
                          env=environment)
    assert done.returncode == code, done
    return done


def told(tree, *words, **options):
    return json.loads(sluice(tree, *words, "-o", "json", **options).stdout)


def content(tree):
    """Every file of it, to compare."""
    return {str(path.relative_to(tree.root)): path.read_text()
            for path in sorted(tree.root.rglob("*")) if path.is_file()}


# ---- nic ----

def test_nics_are_shown_with_what_the_host_needs_them_for(tree):
    shown = {nic["interface"]: nic for nic in told(tree, "nic", "show")}
    assert set(shown) == {"eno1", "ens1"}
    assert shown["ens1"]["pci"] == NIC and shown["ens1"]["dpdk_driver"] == "net_ice"
    assert shown["ens1"]["needed"] == [] and shown["ens1"]["iommu_group"] == "12"
    assert "it carries the default route of IPv4" in shown["eno1"]["needed"]
    assert "the ssh session of 10.0.2.9 comes through it" in shown["eno1"]["needed"]
    table = sluice(tree, "nic", "show", "ens1").stdout.splitlines()
    assert table[0].split()[:4] == ["PCI", "INTERFACE", "DRIVER", "DPDK"] and len(table) == 2


def test_the_nic_of_the_host_is_not_taken_without_force(tree):
    before = content(tree)
    for name in ("eno1", HOUSE, "01:00.0"):
        errors = sluice(tree, "nic", "bind", name, code=1).stderr
        assert "default route" in errors and "--force" in errors
    assert content(tree) == before
    assert told(tree, "nic", "bind", "eno1", "--force", "--dry-run")["done"] is False


@pytest.mark.parametrize("ssh", ["10.0.7.9 50000 10.0.7.5 22"])
def test_the_nic_of_the_session_is_not_taken_without_force(tree, ssh):
    """By a route to the peer alone; the host's default route goes elsewhere."""
    tree.write("proc/net/route", tree.read("proc/net/route")
               + "\nens1\t0007000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    assert "ssh session of 10.0.7.9" in sluice(tree, "nic", "bind", "ens1", code=1, ssh=ssh).stderr


def test_binding_says_what_it_would_write_and_writes_that(tree):
    before = content(tree)
    dry = told(tree, "nic", "bind", "ens1", "--dry-run")
    assert content(tree) == before
    done = told(tree, "nic", "bind", "ens1")
    assert done["done"] and not dry["done"] and done["steps"] == dry["steps"]
    assert [(step["write"], step["path"]) for step in done["steps"]] == [
        ("vfio-pci", f"/{DEVICE}/driver_override"),
        (NIC, "/sys/bus/pci/drivers/ice/unbind"),
        (NIC, "/sys/bus/pci/drivers_probe")]
    assert tree.read(f"var/lib/sluice-host/nic/{NIC}") == "ice"
    assert tree.read(f"{DEVICE}/driver_override") == "vfio-pci"


def test_a_nic_goes_back_to_the_driver_it_came_from(tree):
    sluice(tree, "nic", "bind", "ens1")
    tree.link(f"{DEVICE}/driver", "sys/bus/pci/drivers/vfio-pci")  # as the kernel does
    assert "already" in sluice(tree, "nic", "bind", NIC).stderr
    back = told(tree, "nic", "unbind", NIC)
    assert back["to"] == "ice" and back["steps"][-1]["path"] == "/sys/bus/pci/drivers/ice/bind"
    assert tree.read("sys/bus/pci/drivers/ice/bind") == NIC
    assert not (tree.root / f"var/lib/sluice-host/nic/{NIC}").exists()


def test_nics_are_taken_again_after_a_restart(tree):
    assert told(tree, "nic", "restore") == []
    sluice(tree, "nic", "bind", "ens1")
    tree.write("sys/bus/pci/drivers_probe", "")
    assert [nic["pci"] for nic in told(tree, "nic", "restore")] == [NIC]
    assert tree.read("sys/bus/pci/drivers_probe") == NIC
    # One that was pulled out meanwhile is said.
    tree.write("var/lib/sluice-host/nic/0000:99:00.0", "ice")
    assert "0000:99:00.0" in sluice(tree, "nic", "restore", code=1).stderr


def test_names_that_are_no_nic_are_said(tree):
    for name in ("ens9", "0000:99:00.0", "../../etc", "x" * 300):
        assert "sluice nic show" in sluice(tree, "nic", "bind", name, code=2).stderr


# ---- tune ----

def spoil(tree):
    """What tune mends, all at once."""
    for cpu in host_tree.CPUS:
        tree.write(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", "powersave")
        tree.write(f"sys/devices/system/cpu/cpu{cpu}/cpuidle/state2/latency", 133)
    tree.write("sys/devices/system/cpu/intel_pstate/no_turbo", 1)
    tree.write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never")
    tree.write("proc/sys/kernel/numa_balancing", 1)
    tree.write("proc/irq/25/smp_affinity_list", "0-15")
    tree.write("proc/irq/default_smp_affinity", "ffff")
    tree.write("proc/sys/net/core/somaxconn", 128)
    tree.write("proc/sys/net/core/rmem_max", 212992)
    tree.write("sys/dev/block/259:0/queue/scheduler", "none mq-deadline [bfq]")
    tree.write(f"sys/devices/system/node/node0/{host_tree.HUGE}", 8)
    tree.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2\tpartition\t1\t0\t-2")
    tree.write("proc/sys/vm/swappiness", 60)


def test_a_dry_run_changes_nothing_and_says_all(tree):
    spoil(tree)
    before = content(tree)
    rows = told(tree, "tune", "--nic", "ens1")
    assert told(tree, "tune", "--nic", "ens1", "--dry-run") == rows
    assert content(tree) == before
    assert {row["outcome"] for row in rows} == {"planned"}
    assert {row["check"] for row in rows if row["check"]} == {
        "governor", "turbo", "numa-balancing", "idle-states", "irq-affinity", "socket-buffers",
        "transparent-hugepages", "swap", "hugepages", "listen-queue", "disk-scheduler"}
    values = {row["path"]: (row["former"], row["value"]) for row in rows}
    assert values["/proc/irq/25/smp_affinity_list"] == ("0-15", "0-1,8-15")
    assert values["/proc/irq/default_smp_affinity"] == ("ffff", "ff03")
    # The shards' cores alone.
    assert "/sys/devices/system/cpu/cpu7/cpufreq/scaling_governor" in values
    assert "/sys/devices/system/cpu/cpu8/cpufreq/scaling_governor" not in values


def test_what_was_applied_is_well_and_comes_back(tree):
    spoil(tree)
    before = content(tree)
    rows = told(tree, "tune", "--nic", "ens1", "--apply")
    assert {row["outcome"] for row in rows} == {"done"}
    complaints = {check["id"] for check in told(tree, "doctor", "--nic", "ens1")["checks"]
                  if check["status"] in ("warn", "fail")}
    assert complaints == {"nic-driver"}  # which is to be bound
    assert told(tree, "tune", "--nic", "ens1", "--apply") == []
    state = json.loads(tree.read(STATE))
    assert len(state["changes"]) == len(rows)
    undone = told(tree, "tune", "--undo")
    assert {row["outcome"] for row in undone} == {"done"} and len(undone) == len(rows)
    after = content(tree)
    assert set(after) == set(before)
    # As written, a chosen word stands alone.
    assert {path for path in before if after[path].strip() != before[path].strip()} == {
        "sys/kernel/mm/transparent_hugepage/enabled",
        "sys/devices/pci0000:00/0000:02:00.0/nvme/nvme0/nvme0n1/queue/scheduler"}
    assert after["sys/kernel/mm/transparent_hugepage/enabled"] == "always"


def test_one_thing_at_a_time(tree):
    for words in (("--apply", "--undo"), ("--apply", "--dry-run")):
        assert "one of" in sluice(tree, "tune", *words, code=2).stderr


def test_a_state_file_that_is_damaged_stops_it(tree):
    spoil(tree)
    tree.write(STATE, "{}")
    assert f"/{STATE}" in sluice(tree, "tune", "--apply", code=1).stderr
    assert tree.read("proc/sys/net/core/somaxconn") == "128"


@pytest.mark.parametrize("bound", [False, True])
def test_the_broker_takes_the_layout(tree, bound):
    if bound:
        tree.link(f"{DEVICE}/driver", "sys/bus/pci/drivers/vfio-pci")
    sluice(tree, "tune", "--nic", NIC, "--apply")
    text = tree.read(LAYOUT)
    assert "\nshards = 6\nshard.cores = 2-7\n" in text and "\npoll = busy\n" in text
    assert (f"\ndpdk.port = {NIC}" in text) == bound
    tree.write("etc/sluice/sluice.conf", "data = /var/lib/sluice")
    done = subprocess.run([harness.program(), "--config", tree.root / "etc/sluice/sluice.conf",
                           "--check"], capture_output=True, timeout=SECONDS, check=False, text=True)
    assert done.returncode == 0, done


def test_this_machine_is_looked_at_without_complaint():
    """Whatever it is: a dry run of everything ends well, and changes nothing."""
    for words in (["nic", "show"], ["tune", "--dry-run"], ["doctor", "--data", "/tmp"]):
        done = subprocess.run([str(program().resolve()), *words, "-o", "json"], check=False,
                              capture_output=True, timeout=SECONDS, text=True)
        assert done.stderr == "" and (done.returncode == 0 or words[0] == "doctor"), done
        json.loads(done.stdout)
    assert not pathlib.Path(f"/{STATE}").exists()
