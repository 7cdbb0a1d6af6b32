"""What guest.py has done inside the guest: counters are read, and a client of a tap is there.

    guest_inside.py counters DEVICE           each shard's queue of the port, a line of JSON each
    guest_inside.py steering DEVICE ADDRESS   a port with rte_flow rules; the guest's kernel is the
                                              other end of its tap and the client is on it

Lines for guest.py begin with "rig:".  Only what this file imports is in the guest, no more.
"""
import glob
import json
import socket
import subprocess
import sys

TELEMETRY = "/var/run/dpdk/*/dpdk_telemetry.v2"
SHARDS = 2
PARTITIONS = 6
TEXT_LINES = 5000
# A partition's share of its own: so many datagrams that the few for metadata do not matter.
OWN_LINES = b"".join(b"%06d %s\n" % (number, b"y" * 1000) for number in range(200))
OWN_DATAGRAMS = len(OWN_LINES) // 1500
CLIENT_SECONDS = 60


def telemetry(command):
    [path] = glob.glob(TELEMETRY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.settimeout(10)
        asker.connect(path)
        asker.recv(1 << 14)
        asker.send(command.encode())
        return json.loads(asker.recv(1 << 14))[command.partition(",")[0]]


def queues(device):
    return [telemetry(f"/sluice/queue,{device},{shard}") for shard in range(SHARDS)]


def run(words, given=None):
    done = subprocess.run(words, input=given, capture_output=True, timeout=CLIENT_SECONDS,
                          check=False)
    if done.returncode or done.stderr:
        raise OSError(f"{words}: {done.returncode} {done.stderr.decode(errors='replace')}")
    return done.stdout


class Steering:
    def __init__(self, device, address):
        self.device = device
        self.broker = f"udp://{address}"

    def sluice(self, *words, given=None):
        return run(["/sluice", "-b", self.broker, *map(str, words)], given)

    def check_text(self):
        """Keyed lines come back, each key in one partition and in order there."""
        values = [b"%08d of key %d" % (number, number % 101) for number in range(TEXT_LINES)]
        self.sluice("topic", "create", "text", "-P", PARTITIONS)
        self.sluice("produce", "text", "-K", "\t", "-a", "all", given=b"".join(
            b"%d\t%s\n" % (number % 101, value) for number, value in enumerate(values)))
        parts = {}
        for line in self.sluice("consume", "text", "-e", "-f", "%p %s\\n").splitlines():
            partition, _, value = line.partition(b" ")
            parts.setdefault(partition, []).append(value)
        assert len(parts) == PARTITIONS
        assert all(found == sorted(found) for found in parts.values()), "order in a partition"
        assert sorted(sum(parts.values(), [])) == values, "records"

    def own_queue(self, partition):
        """The queue on which datagrams for a partition arrive."""
        before = queues(self.device)
        self.sluice("produce", "alone", "-p", partition, "-a", "all", given=OWN_LINES)
        after = queues(self.device)
        arrived = [now["received"] - then["received"] for then, now in zip(before, after)]
        print(f"rig: partition {partition}: {arrived[0]} frames on queue 0, {arrived[1]} on queue 1")
        few, many = sorted(arrived)
        assert many >= OWN_DATAGRAMS > 4 * few
        return arrived.index(many)

    def check(self):
        assert telemetry(f"/sluice/port,{self.device}")["steering"] == "rte_flow"
        self.check_text()
        self.sluice("topic", "create", "alone", "-P", PARTITIONS)
        used = {self.own_queue(partition) for partition in range(PARTITIONS)}
        assert used == set(range(SHARDS)), "a queue that serves no partition"
        handed = sum(queue["handed_over"] for queue in queues(self.device))
        print(f"rig: {handed} handed over")
        assert handed == 0


def main():
    if sys.argv[1] == "counters":
        for queue in queues(sys.argv[2]):
            print("rig: queue", json.dumps(queue))
    else:
        Steering(*sys.argv[2:]).check()
        print("rig: steering ok")


if __name__ == "__main__":
    main()
