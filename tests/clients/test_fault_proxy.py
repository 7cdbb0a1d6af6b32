"""fault_proxy.py alone, between raw connections and a server that only answers."""
import random
import socket
import threading

import pytest
from fault_proxy import ONE_OF, FaultProxy, Faults
from harness import Connection, eventually
from messages import Codec, framed
from records import batch

VERSION = 9
ALWAYS = {"seconds": 0.05, "late_seconds": 0.05}


class FakeServer:
    """Keeps what each connection has sent, in whole frames and a rest, and answers each frame."""

    def __init__(self, error_code=0):
        self.answer = Codec("response", "Produce", VERSION).encode({"responses": [
            {"name": "t", "partition_responses": [
                {"index": 0, "error_code": error_code, "base_offset": 7}]}]})
        self.received = []  # (connection, frame) in the order they came
        self.rests = {}  # of connections that have ended
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        number = 0
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(number, connection), daemon=True).start()
            number += 1

    def talk(self, number, connection):
        data = b""
        try:
            while part := connection.recv(1 << 16):
                data += part
                while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "big")):
                    frame, data = data[:end], data[end:]
                    self.received.append((number, frame))
                    tags = b"\0"
                    connection.sendall(framed(frame[8:12] + tags + self.answer))
        except ConnectionError:
            pass
        self.rests[number] = data
        connection.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # ends accept() too
        self.listener.close()

    def frames(self):
        return [frame for _, frame in self.received]

    def wait_frames(self, count):
        eventually(f"{count} frames", lambda: len(self.received) >= count)


class Path:
    """A proxy with these faults before a server, and connections through it."""

    def __init__(self, error_code=0, **faults):
        self.server = FakeServer(error_code)
        self.proxy = FaultProxy("127.0.0.1", self.server.port, 1, Faults(**ALWAYS | faults))

    def __enter__(self):
        self.proxy.__enter__()
        return self

    def __exit__(self, *failure):
        self.proxy.__exit__(*failure)
        self.server.close()

    def connect(self):
        host, port = self.proxy.address.split(":")
        return Connection(host, int(port), timeout=20)


def produce(connection, number=0):
    """Sends a produce request; returns its correlation id and frame."""
    frame = connection.encode("Produce", VERSION, acks=-1, timeout_ms=1000, topic_data=[
        {"name": "t", "partition_data": [{"index": 0, "records": batch([b"%d" % number])}]}])
    connection.send_bytes(frame)
    return connection.correlation, frame


def produce_many(connection, count=20):
    sent = [produce(connection, number) for number in range(count)]
    return [each for each, _ in sent], [frame for _, frame in sent]


def answered(connection, count):
    return [connection.receive()[0] for _ in range(count)]


def test_without_faults_every_byte_passes_in_order():
    with Path() as path, path.connect() as connection:
        ids, frames = produce_many(connection)
        assert answered(connection, 20) == ids
        assert path.server.frames() == frames
        assert path.proxy.counts == {"requests": 20, "twice": 0}


def test_twice_sends_each_frame_again_and_swallows_one_answer():
    with Path(twice=1) as path, path.connect() as connection:
        ids, frames = produce_many(connection)
        assert answered(connection, 20) == ids
        path.server.wait_frames(40)
        assert path.server.frames() == [each for each in frames for _ in range(2)]
        assert not connection.closed_by_peer(0.2)


def test_late_copies_come_over_other_connections_after_the_answer():
    with Path(late=1) as path, path.connect() as connection:
        ids, frames = produce_many(connection, 5)
        assert answered(connection, 5) == ids
        path.server.wait_frames(10)
        own = [frame for number, frame in path.server.received if number == 0]
        others = [frame for number, frame in path.server.received if number != 0]
        assert own == frames and sorted(others) == sorted(frames)
        eventually("their answers", lambda: path.proxy.late_answers == {0: 5})


def test_what_was_refused_is_not_sent_late():
    with Path(error_code=45, late=1, late_seconds=0) as path, path.connect() as connection:
        ids, frames = produce_many(connection, 3)
        assert answered(connection, 3) == ids
        # A copy would have been on its way before what follows is answered.
        path.proxy.faults = Faults()
        produce(connection)
        answered(connection, 1)
        assert path.server.frames()[:3] == frames and len(path.server.received) == 4


@pytest.mark.parametrize("kind", ["delay", "slow_answer"])
def test_what_is_slow_stays_in_order(kind):
    with Path(**{kind: 1}) as path, path.connect() as connection:
        ids, frames = produce_many(connection, 5)
        assert answered(connection, 5) == ids
        assert path.server.frames() == frames


def test_a_request_held_behind_another_connection_comes_after_it():
    with Path(behind=1, seconds=20) as path, path.connect() as first, path.connect() as second:
        _, held = produce(first)
        eventually("it is held", lambda: path.proxy.waiting)
        path.proxy.faults = Faults()
        assert path.server.frames() == []
        _, other = produce(second)
        answered(first, 1)
        answered(second, 1)
        # The server reads two connections, in an order of its own.
        assert sorted(path.server.frames()) == sorted([other, held])


def test_mute_passes_requests_and_no_answer_and_ends():
    with Path(mute=1) as path, path.connect() as connection:
        _, frame = produce(connection)
        with pytest.raises(ConnectionError):
            connection.receive()
        assert path.server.frames() == [frame]


def test_lingering_requests_come_after_the_client_was_cut_off():
    with Path(linger=1) as path, path.connect() as connection:
        _, frame = produce(connection)
        assert connection.closed_by_peer()
        path.server.wait_frames(1)
        assert path.server.frames() == [frame]


def test_a_part_of_a_request_ends_both_connections():
    with Path(part=1) as path, path.connect() as connection:
        _, frame = produce(connection)
        assert connection.closed_by_peer()
        rest = eventually("the server's end", lambda: path.server.rests)[0]
        assert path.server.received == []
        assert frame.startswith(rest) and len(rest) < len(frame)


def test_a_part_of_an_answer_ends_the_connection():
    with Path(answer_part=1) as path, path.connect() as connection:
        _, frame = produce(connection)
        with pytest.raises(ConnectionError):
            connection.receive()
        assert path.server.frames() == [frame]


def test_other_requests_meet_no_fault():
    every = {"twice": 1, "late": 1, "part": 1}
    with Path(**every) as path, path.connect() as connection:
        frame = connection.encode("Metadata", 9, topics=None)
        connection.send_bytes(frame)
        assert connection.receive_frame()[0] == connection.correlation
        assert path.server.frames() == [frame]


def test_a_broker_that_is_away_ends_the_connection():
    server = FakeServer()
    server.close()
    with FaultProxy("127.0.0.1", server.port, 1) as proxy:
        host, port = proxy.address.split(":")
        with Connection(host, int(port)) as connection:
            assert connection.closed_by_peer()


def test_a_seed_draws_the_same_faults_again():
    faults = Faults(twice=0.5, late=0.5, **dict.fromkeys(ONE_OF, 0.1))

    def drawn(seed):
        chance = random.Random(seed)
        return [faults.draw(chance) for _ in range(500)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert {kind for _, _, kind in drawn(1)} == {*ONE_OF, None}
