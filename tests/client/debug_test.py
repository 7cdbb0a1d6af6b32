"""`sluice debug bundle`: what somebody who is to help wants to see, in one archive."""
import http.server
import json
import os
import stat
import tarfile
import threading

import harness
import pytest
from sluice_process import Sluice


class Admin(http.server.BaseHTTPRequestHandler):
    """As much of the admin HTTP as is asked."""

    def do_GET(self):
        known = self.path == "/metrics"
        self.send_response(200 if known else 503)
        self.end_headers()
        self.wfile.write(b"sluice_messages_total 7\n" if known else b"not ready\n")

    def log_message(self, *_):
        pass


@pytest.fixture(name="admin", scope="module")
def admin_http():
    with http.server.HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def contents(path):
    with tarfile.open(path, "r:gz") as archive:
        assert all(member.isfile() for member in archive.getmembers())
        return {member.name: archive.extractfile(member).read()
                for member in archive.getmembers()}


def bundle(sluice, path, *words):
    """What was printed, and what is in it."""
    told = json.loads(sluice.run("debug", "bundle", path, "-o", "json", *words))
    return told, contents(path)


def test_a_bundle_has_what_the_broker_and_its_host_tell(sluice, topic, admin, tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "mine.conf").write_text("listen = 9092\nadmin.password = swordfish\n")
    (tmp_path / "conf.d" / "50-host.conf").write_text("shards = 2\n")
    (tmp_path / "log").write_bytes(b"x" * (5 << 20) + b" token=swordfish the end\n")
    sluice.run("topic", "create", topic)
    told, files = bundle(sluice, tmp_path / "a.tar.gz", "--admin", admin, "--settings",
                         tmp_path / "mine.conf", "--log", tmp_path / "log")
    assert stat.S_IMODE(os.stat(tmp_path / "a.tar.gz").st_mode) == 0o600
    assert told["size_bytes"] == os.stat(tmp_path / "a.tar.gz").st_size
    assert topic in {row["name"] for row in json.loads(files["topics.json"])}
    assert json.loads(files["cluster.json"])["brokers"] and json.loads(files["doctor.json"])
    assert json.loads(files["groups.json"]) == [] and json.loads(files["settings.json"])
    assert files["metrics.txt"] == b"sluice_messages_total 7\n"
    assert files["config/sluice.conf"] == b"listen = 9092\nadmin.password = (removed)\n"
    assert files["config/conf.d/50-host.conf"] == b"shards = 2\n"
    assert files["log.txt"].endswith(b" token=(removed) the end\n")
    assert len(files["log.txt"]) <= 4 << 20
    manifest = json.loads(files["manifest.json"])
    errors = {part["name"]: part["error"] for part in manifest["parts"]}
    assert manifest["parts"] == told["parts"] and manifest["host"]["cores"] >= 1
    assert errors["log.txt"] == "only its end" and "status 503" in errors["ready.json"]
    assert set(errors) - {"ready.json"} == set(files) - {"manifest.json"}
    assert b"swordfish" not in b"".join(files.values())


def test_what_cannot_be_had_is_said_and_the_rest_is_there(tmp_path):
    nobody = f"127.0.0.1:{harness.free_port()}"
    told, files = bundle(Sluice(nobody), tmp_path / "a.tar.gz", "--admin", f"http://{nobody}",
                         "--settings", tmp_path / "none", "--log", tmp_path / "none")
    errors = {part["name"]: part["error"] for part in told["parts"]}
    assert errors["topics.json"] == "it printed nothing"
    assert "Connection refused" in errors["metrics.txt"]
    assert "No such file" in errors["log.txt"] and "No such file" in errors["config/sluice.conf"]
    assert set(files) == {"doctor.json", "manifest.json"}


def test_a_bundle_replaces_no_file(sluice, tmp_path):
    (tmp_path / "a.tar.gz").write_text("mine")
    sluice.run("debug", "bundle", tmp_path / "a.tar.gz", code=1)
    assert "File exists" in sluice.errors
    assert (tmp_path / "a.tar.gz").read_text() == "mine"
    sluice.run("debug", "bundle", tmp_path / "no" / "a.tar.gz", code=1)
    assert "No such file" in sluice.errors
