"""bench/peers.py as a whole: with a sluice-bench and brokers that are stand-ins, and with ours."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(pathlib.Path(__file__).parent)]

from peers import peer, plan  # noqa: E402
from peers_test import BUILD, Loopback, Stillborn  # noqa: E402

PROGRAM = ROOT / "bench" / "peers.py"

# Publishes as many records a second as the port's driver is called; refuses to run for "broken".
STAND_IN = """\
    #!/usr/bin/env python3
    import json, sys
    words = sys.argv[1:]
    asked = {word: words[at + 1] for at, word in enumerate(words) if word.startswith("--")}
    if words[0] == "list":
        print("Drivers:\\n  any  what there is\\n\\nWorkloads:\\n  none  at all")
        raise SystemExit(0)
    if words[0] == "report":
        open(asked["--html"], "w").write("page")
        raise SystemExit(0)
    if asked["--label"] == "broken":
        raise SystemExit("no such driver")
    rate = {"sluice": 300.0, "kafka": 100.0}[asked["--label"]]
    latency = {f"aggregated{kind}Latency{end}": 1.5 for kind in ("Publish", "EndToEnd")
               for end in ("50pct", "99pct", "999pct")}
    ours = {"published": 1000, "consumed": 0, "publishedRate": rate, "consumedRate": 0,
            "askedRate": 0, "publishLatencyCount": 1000, "endToEndLatencyCount": 0, "caveats": "",
            "brokerKnown": True, "seconds": 2.0,
            "broker": {"userSeconds": 0.5, "systemSeconds": 0.5, "residentBytesMax": 5000000}}
    json.dump([{"messageSize": 1000, "sluice": ours} | latency], open(asked["--json"], "w"))
    """


class Broker(Loopback):
    name = "sluice"

    def __init__(self, *usual, build=None):
        super().__init__(*usual)


class Other(Loopback):
    name = "kafka"


class Absent(Stillborn):
    name = "nats"


@pytest.fixture
def program(monkeypatch):
    """The module of bench/peers.py, whose host is not measured."""
    found = importlib.util.spec_from_file_location("peers_program", PROGRAM)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module.Campaign, "host", lambda self: None)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(module.storage_vs_fio, "machine", lambda folder: {"cpus": os.cpu_count()})
    return module


@pytest.fixture
def build(tmp_path):
    stand_in = tmp_path / "build" / "bench" / "suite" / "sluice-bench"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(textwrap.dedent(STAND_IN), encoding="utf-8")
    stand_in.chmod(0o755)
    return tmp_path / "build"


def test_all_are_measured_and_reported_and_what_fails_is_missing(program, build, tmp_path,
                                                                 monkeypatch, capsys):
    monkeypatch.setattr(plan, "CONTENDERS", tuple(
        plan.Contender(label, kind, "any", plan.EVERY_CLASS)
        for label, kind in (("sluice", Broker), ("kafka", Other), ("nats", Absent),
                            ("broken", Other)))
        + (plan.Contender("foreign", Other, "unbuilt", plan.EVERY_CLASS),))
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["peers.py", "--build", str(build), "--out", str(out), "--dir",
                                      str(tmp_path), "--quick", "--measure", "produce", "--only",
                                      "sluice,kafka,nats,broken,foreign"])
    program.main()
    text = (out / "RESULTS.md").read_text()
    assert text in capsys.readouterr().out
    assert "| sluice / kafka | 3.00 |" in text
    assert "- nats, default (round 1): nats did not start: no such luck" in text
    assert "- broken, default, produce (round 1): no such driver" in text
    assert "- foreign, default (round 1): sluice-bench was built without its driver" in text
    assert str(tmp_path) not in text
    assert (out / "report.html").read_text() == "page"
    assert len(list((out / "runs").iterdir())) == 2


def test_a_folder_of_figures_is_not_written_over(program, build, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["peers.py", "--build", str(build), "--out", str(tmp_path),
                                      "--dir", str(tmp_path)])
    with pytest.raises(SystemExit, match="there already"):
        program.main()


def test_an_unknown_contender_or_measure_is_told_with_those_there_are(program, build, tmp_path,
                                                                      monkeypatch):
    monkeypatch.setattr(sys, "argv", ["peers.py", "--build", str(build), "--dir", str(tmp_path),
                                      "--out", str(tmp_path / "out"), "--only", "pulsar"])
    with pytest.raises(SystemExit, match="no pulsar; there are: sluice, "):
        program.main()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_sluice_itself_is_measured_in_a_minute(tmp_path):
    if not (BUILD / "bench" / "suite" / "sluice-bench").is_file():
        pytest.skip("sluice-bench is not built")
    done = subprocess.run(
        [sys.executable, PROGRAM, "--build", BUILD, "--out", tmp_path / "out", "--dir", tmp_path,
         "--quick", "--only", "sluice,sluice-memif", "--measure", "produce-flush,latency,publish"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    story = json.loads((tmp_path / "out" / "peers.json").read_text())
    assert not story["missing"]
    assert {run["measure"] for run in story["runs"]} == {"produce-flush", "latency", "publish"}
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000


def test_limits_name_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "limits.py", "--quick", "--dir", tmp_path, "--build",
         tmp_path, "--json", tmp_path / "limits.json"], stdout=subprocess.PIPE, text=True,
        timeout=120, env=os.environ | {"PATH": "/nowhere"})
    report = json.loads((tmp_path / "limits.json").read_text())
    assert done.returncode == peer.EXIT_MISSING
    assert not report["figures"]
    assert "Debian package fio" in report["missing"]["disk"]
    assert "Debian package iperf3" in report["missing"]["loopback"]
