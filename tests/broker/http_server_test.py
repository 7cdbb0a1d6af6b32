"""The admin HTTP's frame: who may ask, what is refused, what a stop does.  /v1 has its own tests."""

import os
import socket

import pytest

from harness import Broker, eventually, free_port
from http_client import HttpBroker
from lifecycle_test import refused_start

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def broker():
    with HttpBroker() as it:
        yield it


def test_health_says_that_it_lives_and_is_ready(broker):
    assert broker.get("/health/live") == {"status": "live"}
    assert broker.get("/health/ready") == {"status": "ready"}


def test_the_console_is_served_with_a_strong_tag_and_a_policy(broker):
    status, headers, content = broker.http("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<title>" in content
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    again, _, nothing = broker.http("GET", "/", headers={"If-None-Match": headers["ETag"]})
    assert (again, nothing) == (304, b"")
    head, fields, nothing = broker.http("HEAD", "/")
    assert (head, nothing) == (200, b"") and int(fields["Content-Length"]) == len(content)


@pytest.mark.parametrize(
    "method, target, status",
    [
        ("GET", "/nowhere", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/etc/passwd", 404),
        ("POST", "/health/live", 405),
        ("GET", "/health/live?depth=1", 400),
        ("GET", "/health/%00", 400),
        ("GET", "/" + "a" * 9000, 414),
    ],
)
def test_a_bad_request_gets_a_problem_document(broker, method, target, status):
    found, headers, problem = broker.http(method, target)
    assert (found, headers["Content-Type"]) == (status, PROBLEM), problem
    assert problem["status"] == status and problem["title"] and problem["detail"]
    broker.check_alive()


def test_a_name_that_is_not_ours_is_turned_away(broker):
    for host in ("evil.example", f"evil.example:{broker.admin_port}", "127.0.0.1.evil.example"):
        assert broker.http("GET", "/health/live", headers={"Host": host})[0] == 421
    for host in ("localhost", f"127.0.0.1:{broker.admin_port}", "[::1]:80"):
        assert broker.http("GET", "/health/live", headers={"Host": host})[0] == 200


def test_admin_hosts_adds_names():
    with HttpBroker(settings={"admin.hosts": "a.example, broker.example"}) as broker:
        assert broker.http("GET", "/health/live", headers={"Host": "broker.example"})[0] == 200
        assert broker.http("GET", "/health/live", headers={"Host": "c.example"})[0] == 421


def test_connections_beyond_the_limit_wait_until_others_have_gone(broker):
    def descriptors():
        return len(os.listdir(f"/proc/{broker.pid}/fd"))

    before = descriptors()
    parked = [socket.create_connection(("127.0.0.1", broker.admin_port)) for _ in range(80)]
    eventually("as many as there may be", lambda: descriptors() >= before + 60)
    assert descriptors() <= before + 64
    for connection in parked:
        connection.close()
    assert broker.get("/health/live")


def test_bytes_that_are_no_http_end_the_connection(broker):
    with socket.create_connection(("127.0.0.1", broker.admin_port), timeout=60) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        while connection.recv(4096):
            pass
    assert broker.get("/health/live")


def answer_to(broker, content):
    """The first line of what comes back, until the end of the connection."""
    with socket.create_connection(("127.0.0.1", broker.admin_port), timeout=60) as connection:
        connection.sendall(content)
        answer = b""
        while b"\r\n" not in answer:
            part = connection.recv(4096)
            if not part:
                break
            answer += part
        return answer.partition(b"\r\n")[0]


POST = b"POST /v1/topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_a_body_over_the_limit_is_refused_before_it_is_read(broker):
    answer = answer_to(broker, POST + b"Content-Length: 1048577\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_say_how_long_it_is_has_the_same_limit(broker):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    body = chunk * 17 + b"0\r\n\r\n"
    answer = answer_to(broker, POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_more_fields_than_there_is_room_for_are_refused(broker):
    answer = answer_to(broker, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000)
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.0 431 "))


def test_an_address_in_use_is_refused_when_it_was_asked_for(tmp_path, broker):
    address = f"127.0.0.1:{broker.admin_port}"
    message = refused_start(
        tmp_path / "data", "--listen", f"127.0.0.1:{free_port()}", "--set", f"admin.listen={address}"
    )
    assert "in use" in message


def test_no_address_is_no_admin_http():
    with Broker() as broker:
        assert "http: listening" not in broker.log()
