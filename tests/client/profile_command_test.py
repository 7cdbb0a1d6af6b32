"""`sluice profile`: where brokers are and how to speak to them, by a name."""
import json
import os
import stat
import subprocess

import harness
import pytest
from sluice_process import SECONDS, program


@pytest.fixture(name="home")
def empty_home(tmp_path, monkeypatch):
    """The folder of the profiles' file, which is not there yet."""
    for name in ("SLUICE_BROKERS", "SLUICE_PROFILE", "SLUICE_ADMIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "sluice"


def run(*words, code=0):
    """Without --brokers; what was printed, and what was complained of."""
    done = subprocess.run([str(program().resolve()), *map(str, words)], capture_output=True,
                          text=True, timeout=SECONDS, check=False)
    assert done.returncode == code, (words, done)
    assert "Sanitizer" not in done.stderr
    return done.stdout, done.stderr


def told(*words):
    return json.loads(run(*words, "-o", "json")[0])


def test_a_profile_from_the_first_setting_to_its_end(home):
    assert told("profile", "list") == []
    run("profile", "set", "far", "brokers=one:9092", "linger.ms=20")
    assert stat.S_IMODE(os.stat(home / "profiles.conf").st_mode) == 0o600
    assert os.listdir(home) == ["profiles.conf"]
    assert told("profile", "list") == [
        {"name": "far", "current": False, "brokers": "one:9092", "admin": None}]
    run("profile", "use", "far")
    run("profile", "set", "far", "linger.ms=", "admin=http://one:9644")
    assert told("profile", "show") == {
        "name": "far", "current": True,
        "settings": {"brokers": "one:9092", "admin": "http://one:9644"}}
    assert "one:9092" in run("profile", "show", "far")[0]
    assert run("completion", "words", "--", "profile", "use", "f")[0] == "far\n"
    assert run("completion", "words", "--", "topic", "list", "--profile=")[0] == "--profile=far\n"
    run("profile", "delete", "far")
    assert told("profile", "list") == []
    assert "sluice profile use" in run("profile", "show", code=1)[1]


def address_tried(*words):
    """Of the broker that was not there."""
    errors = run("topic", "list", *words, code=3)[1]
    return next(name for name in ("flag", "asked", "variable", "used") if ports[name] in errors)


ports = {}


def test_what_is_nearer_to_the_command_counts_more(home, monkeypatch):
    for name in ("flag", "asked", "variable", "used"):
        ports[name] = f"127.0.0.1:{harness.free_port()}"
    run("profile", "set", "used", f"brokers={ports['used']}")
    run("profile", "set", "asked", f"brokers={ports['asked']}")
    run("profile", "use", "used")
    assert address_tried() == "used"
    assert address_tried("--profile", "asked") == "asked"
    monkeypatch.setenv("SLUICE_PROFILE", "asked")
    assert address_tried() == "asked"
    monkeypatch.setenv("SLUICE_BROKERS", ports["variable"])
    assert address_tried() == "variable"
    assert address_tried("--profile", "used") == "used"
    assert address_tried("--profile", "used", "-b", ports["flag"]) == "flag"


def test_options_of_a_profile_are_those_of_the_client(broker, home):
    run("profile", "set", "near", f"brokers={broker.address}", "client.id=near")
    run("profile", "use", "near")
    assert told("cluster", "info")["brokers"][0]["port"] == broker.port


@pytest.mark.parametrize("words, says", [
    (["profile", "set", "a", "linger.mss=1"], "'linger.ms'"),
    (["profile", "set", "a", "linger.ms=soon"], "linger.ms"),
    (["profile", "set", "a", "novalue"], "NAME=VALUE"),
    (["profile", "set", "a b", "linger.ms=1"], "letters, digits"),
    (["profile", "set", "a", "brokers=one\n[b]"], "cannot be kept"),
    (["profile", "set", "a"], "needs PROFILE NAME=VALUE..."),
    (["profile", "use", "never"], "sluice profile list"),
    (["profile", "show", "never"], "sluice profile list"),
    (["profile", "delete", "never"], "sluice profile list"),
    (["topic", "list", "--profile", "never"], "no profile 'never'"),
])
def test_a_wrong_profile_ends_in_2_and_changes_nothing(home, words, says):
    assert says in run(*words, code=2)[1]
    assert not home.exists()


@pytest.mark.parametrize("text, says", [
    ("[a]\nbroker\n", "profiles.conf:2: neither"),
    ("current = a\n", "no profile 'a'"),
    ("current = a\n[a]\nlinger.mss = 1\n", "'linger.ms'"),
])
def test_a_wrong_file_is_told_with_its_line(home, text, says):
    home.mkdir(parents=True)
    (home / "profiles.conf").write_text(text)
    assert says in run("topic", "list", code=2)[1]


def test_a_folder_that_cannot_be_written_is_told(home):
    home.parent.write_text("no folder")
    assert "profiles.conf: Not a directory" in run("profile", "set", "a", "acks=1", code=1)[1]
