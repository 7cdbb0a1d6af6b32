"""kafka-producer-perf-test, as it comes, and what the broker's processors had to do for it.

Nothing here is a limit on time: the run must end well, and what it cost is printed.  More records:

    SLUICED_PERF_RECORDS=5000000 pytest -s tests/clients/test_producer_performance.py
"""
import os
import re
import subprocess

import harness
import pytest
from java_jars import jars

RECORDS = int(os.environ.get("SLUICED_PERF_RECORDS", "300000"))
RECORD_BYTES = 1024
PARTITIONS = 8
SUMMARY = re.compile(r"^(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), "
                     r"([\d.]+) ms avg latency, .*$", re.M)


def run_tool(broker, topic, records, timeout):
    done = subprocess.run(
        ["java", "-XX:+UseSerialGC", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
         "-cp", f"{jars()}/*", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic,
         "--num-records", str(records), "--record-size", str(RECORD_BYTES), "--throughput", "-1",
         "--producer-props", f"bootstrap.servers={broker.address}", "acks=all"],
        capture_output=True, text=True, timeout=timeout, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # The last line is the whole run's, those before it each of five seconds.
    return SUMMARY.findall(done.stdout)[-1], done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_producer_performance_runs_to_the_end(topic, capsys):
    with harness.Broker(settings={"num.partitions": PARTITIONS}) as broker:
        with broker.connect() as connection:
            connection.create_topic(topic, PARTITIONS)
            before = broker.cpu_seconds()
            (sent, *_), line = run_tool(broker, topic, RECORDS, 120 + RECORDS // 5000)
            used = broker.cpu_seconds() - before
            ends = sum(connection.list_offset(topic, partition, -1)["offset"]
                       for partition in range(PARTITIONS))
    assert (int(sent), ends) == (RECORDS, RECORDS)
    with capsys.disabled():
        print(f"\nproducer-perf-test {RECORD_BYTES} B acks=all: {line}")
        print(f"broker CPU: {used:.2f} s for {RECORDS} records, "
              f"{used * 1e6 / RECORDS:.2f} s a million records")
