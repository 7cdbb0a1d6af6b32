#!/usr/bin/env python3
"""What ten thousand partitions and ten thousand idle connections cost a broker.

    bench/scale_bench.py [--build DIR] [--partitions N] [--topics N] [--connections N] [--rounds N]
                         [--rate N] [--seconds N] [--io uring|sync] [--shards N] [--dir DIR]
                         [--json FILE] [--quick]

One broker gets the partitions and connections, another stays empty; both lie in DIR.  Prints memory
(resident, by /proc) a partition, empty and with a record in it, and a connection; blocks on disk a
partition; how long creating, a start, a clean stop, a Metadata request of everything and the end of
all topics take.  Then `request_load` produces (acks=all, open loop) to a topic of its own in either:
A without, B with them, A B B A a round.  The ratio of each pair's p99 counts, on a machine that does
other work too, not the figures by themselves.
"""
import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUN_SECONDS = 120
ROWS_A_REQUEST = 500


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--topics", type=int, default=10)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--io", choices=["uring", "sync"], default="uring")
    parser.add_argument("--dir")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="show that it runs")
    options = parser.parse_args()
    if options.quick:
        options.partitions, options.topics, options.connections = 100, 4, 100
        options.rounds, options.seconds = 1, 1
    return options


class Timed:
    def __enter__(self):
        self.begun = time.monotonic()
        return self

    def __exit__(self, *failure):
        self.seconds = time.monotonic() - self.begun


def disk_bytes(folder):
    total = 0
    for path, folders, files in os.walk(folder):
        total += sum(os.lstat(os.path.join(path, name)).st_blocks for name in folders + files)
    return total * 512


def topic_names(options):
    return [f"wide-{i}" for i in range(options.topics)]


def create_topics(options, connection):
    each = options.partitions // options.topics
    for name in topic_names(options):
        connection.create_topic(name, each)


def write_everywhere(options, connection, data):
    each = options.partitions // options.topics
    for name in topic_names(options):
        for first in range(0, each, ROWS_A_REQUEST):
            rows = [{"index": i, "records": data}
                    for i in range(first, min(first + ROWS_A_REQUEST, each))]
            body = connection.request("Produce", 9, acks=-1, timeout_ms=60_000,
                                      topic_data=[{"name": name, "partition_data": rows}])
            for row in body["responses"][0]["partition_responses"]:
                assert row["error_code"] == 0, row


def measure_partitions(options, broker, data):
    result = {}
    count = options.partitions
    resident, blocks = broker.rss_bytes(), disk_bytes(broker.data)
    with broker.connect() as connection:
        with Timed() as created:
            create_topics(options, connection)
        empty, empty_blocks = broker.rss_bytes(), disk_bytes(broker.data)
        with Timed() as written:
            write_everywhere(options, connection, data)
        used, used_blocks = broker.rss_bytes(), disk_bytes(broker.data)
        with Timed() as described:
            connection.request("Metadata", 9, topics=None)
    result["resident_a_partition_empty"] = (empty - resident) / count
    result["resident_a_partition_with_a_record"] = (used - resident) / count
    result["disk_a_partition_empty"] = (empty_blocks - blocks) / count
    result["disk_a_partition_with_a_record"] = (used_blocks - blocks) / count
    result["create_seconds"] = created.seconds
    result["first_record_everywhere_seconds"] = written.seconds
    result["metadata_seconds"] = described.seconds
    with Timed() as stopped:
        broker.stop()
    with Timed() as started:
        broker.start()
    result["stop_seconds"], result["start_seconds"] = stopped.seconds, started.seconds
    result["resident_a_partition_after_start"] = (broker.rss_bytes() - resident) / count
    result["disk_a_partition_after_stop"] = (disk_bytes(broker.data) - blocks) / count
    result["files_open"] = broker.fd_count()
    return result


def open_connections(options, broker):
    """Each has asked something, as a client does."""
    connections = []
    for _ in range(options.connections):
        connection = broker.connect()
        connection.request("ApiVersions", 3, client_software_name="idle",
                           client_software_version="1")
        connections.append(connection)
    return connections


def produce_p99(options, broker):
    run = subprocess.run(
        [options.build / "bench" / "request_load", f"tcp://{broker.address}", "--topic", "load",
         "--acks", "-1", "--rate", str(options.rate), "--seconds", str(options.seconds)],
        check=True, stdout=subprocess.PIPE, text=True, timeout=RUN_SECONDS)
    return json.loads(run.stdout)


def compare(options, without, beside):
    pairs = []
    for _ in range(options.rounds):
        runs = [produce_p99(options, broker) for broker in (without, beside, beside, without)]
        for a, b in ((runs[0], runs[1]), (runs[3], runs[2])):
            pairs.append({"without": a, "beside": b, "p99_ratio": b["p99_us"] / a["p99_us"],
                          "p50_ratio": b["p50_us"] / a["p50_us"]})
    return pairs


def delete_topics(options, broker):
    with broker.connect() as connection, Timed() as deleted:
        connection.request("DeleteTopics", 4, topic_names=topic_names(options), timeout_ms=60_000)
        while sum(1 for _ in (broker.data / "topics").iterdir()) > 2:
            time.sleep(0.01)
    return deleted.seconds


def run(options):
    sys.path.insert(0, str(ROOT / "tests" / "broker"))
    os.environ.setdefault("SLUICED", str(options.build / "control" / "sluiced"))
    from harness import Broker, eventually
    from records import batch

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="scale_", dir=options.dir)
    settings = {"connections.max.idle.ms": 0}
    try:
        with Broker(f"{folder}/a", options.shards, options.io, settings) as without, \
             Broker(f"{folder}/b", options.shards, options.io, settings) as beside:
            for broker in (without, beside):
                with broker.connect() as connection:
                    connection.create_topic("load")
                produce_p99(options, broker)  # what grows once has grown
            result = measure_partitions(options, beside, batch([b"x"]))
            resident, files = beside.rss_bytes(), beside.fd_count()
            connections = open_connections(options, beside)
            result["resident_a_connection"] = (beside.rss_bytes() - resident) / options.connections
            result["pairs"] = compare(options, without, beside)
            with Timed() as broken:
                for connection in connections[::2]:
                    connection.reset()
                eventually("half of the descriptors are given back",
                           lambda: beside.fd_count() <= files + options.connections // 2 + 50)
            result["half_broken_off_seconds"] = broken.seconds
            for connection in connections:
                connection.close()
            result["delete_seconds"] = delete_topics(options, beside)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def main():
    options = parse()
    result = {"machine": f"{platform.node()} {platform.release()} cores={os.cpu_count()}",
              "load_average": os.getloadavg()[0], "io": options.io,
              "partitions": options.partitions, "connections": options.connections} | run(options)
    pairs = result["pairs"]
    for name in ("p50_ratio", "p99_ratio"):
        ratios = sorted(pair[name] for pair in pairs)
        result[name] = {"median": statistics.median(ratios), "least": ratios[0], "most": ratios[-1]}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    for pair in pairs:
        print(f"produce p99: {pair['without']['p99_us']:.0f} us without, "
              f"{pair['beside']['p99_us']:.0f} us beside, {pair['p99_ratio']:.2f}")
    print(json.dumps({key: value for key, value in result.items() if key != "pairs"}, indent=1))


if __name__ == "__main__":
    main()
