"""Processes of a broker, as /proc tells of them: for what it costs when nobody asks it anything."""
import contextlib
import os
import pathlib

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def parents():
    """Parent by pid, of all processes there are."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                found[int(entry.name)] = int(stat_fields(int(entry.name))[1])
    return found


def stat_fields(pid):
    """Of /proc/PID/stat from the third on; the second, the name, may hold anything."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def with_descendants(pids):
    by_child, found = parents(), list(pids)
    for pid in found:  # grows meanwhile
        found += [child for child, parent in by_child.items() if parent == pid]
    return found


def cpu_seconds(pids):
    """User and system time of the processes and all that descend from them."""
    total = 0
    for pid in with_descendants(pids):
        with contextlib.suppress(OSError):
            fields = stat_fields(pid)
            total += int(fields[11]) + int(fields[12])
    return total / CLOCK_TICKS


def resident_bytes(pids):
    total = 0
    for pid in with_descendants(pids):
        with contextlib.suppress(OSError):
            pages = pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]
            total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total
