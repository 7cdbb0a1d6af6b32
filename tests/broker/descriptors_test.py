"""Fewer descriptors than files and connections: what is stored stays readable and writable."""

from concurrent.futures import ThreadPoolExecutor

from harness import Broker, eventually

LIMIT = 160
PREFIX = ["prlimit", f"--nofile={LIMIT}:{LIMIT}"]
PARTITIONS = 40
SEGMENTS = 3
VALUE = b"v" * 600_000  # a segment each
CONFIGS = {"segment.bytes": 1 << 20}


def fill(connection, partitions, rounds):
    for _ in range(rounds):
        for partition in range(partitions):
            assert connection.produce("many", partition, [VALUE]) >= 0


def check(connection, partitions, rounds):
    for partition in range(partitions):
        for offset in range(rounds):
            assert connection.fetch_values("many", partition, offset)[:1] == [VALUE]


def test_many_more_segments_than_descriptors_are_written_and_read():
    with Broker(prefix=PREFIX) as broker:
        broker.wait_log(f"descriptors limit={LIMIT}")
        with broker.connect() as admin:
            admin.create_topic("many", PARTITIONS, CONFIGS)
            fill(admin, PARTITIONS, SEGMENTS)
            assert broker.fd_count() < LIMIT
            check(admin, PARTITIONS, SEGMENTS)
            assert broker.fd_count() < LIMIT
        broker.restart()
        with broker.connect() as admin:
            fill(admin, PARTITIONS, 1)
            check(admin, PARTITIONS, SEGMENTS + 1)
            assert broker.fd_count() < LIMIT
        assert "read-only" not in broker.log()


def test_connections_are_refused_before_storage_wants_for_descriptors():
    with Broker(prefix=PREFIX) as broker, broker.connect() as admin:
        admin.create_topic("many", PARTITIONS, CONFIGS)
        held = [broker.connect() for _ in range(LIMIT * 2)]
        broker.wait_log('connections refused reason="few descriptors are left')
        fill(admin, PARTITIONS, SEGMENTS)
        check(admin, PARTITIONS, SEGMENTS)
        admin.create_topic("another", 10)
        assert admin.produce("another", 9, [b"x"]) == 0
        for connection in held:
            connection.close()
        eventually("new connections are served again", lambda: serves(broker))
        assert "read-only" not in broker.log()
        assert "Too many open files" not in broker.log()


def serves(broker):
    try:
        with broker.connect() as connection:
            connection.request("Metadata", 9, topics=[])
            return True
    except ConnectionError:
        return False


def test_readers_of_old_segments_side_by_side_get_by_with_few_descriptors():
    with Broker(prefix=PREFIX) as broker, broker.connect() as admin:
        admin.create_topic("many", PARTITIONS, CONFIGS)
        fill(admin, PARTITIONS, SEGMENTS)

        def read(_):
            with broker.connect() as connection:
                check(connection, PARTITIONS, SEGMENTS)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(4)))
        assert broker.fd_count() < LIMIT
