"""sluice-bench against a broker: that it measures, counts, and says what is wrong."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import harness
import pytest
from sluices import Memif

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(harness.program()).resolve().parents[1]
PROGRAM = os.environ.get("SLUICE_BENCH", BUILD / "bench/suite/sluice-bench")
SECONDS = 60
SHORT = ("--set", "duration=1s", "--set", "warmupDuration=200ms")
LINE = re.compile(r"(\d+)/s in, (\d+)/s out, (\d+) errors(.*)")


@pytest.fixture(name="broker", scope="module")
def running_broker():
    with harness.Broker(shards=1) as broker:
        yield broker
        broker.check_alive()


def bench(*words, code=0, program=(PROGRAM,), **options):
    done = subprocess.run([*map(str, program), *map(str, words)], capture_output=True, text=True,
                          timeout=SECONDS, check=False, **options)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done


def run(broker, *words, scheme="tcp", **options):
    """What it printed of each run: records a second in and out, errors, latencies and caveats."""
    done = bench("run", "--url", f"{scheme}://{broker.address}", *SHORT, *words, **options)
    found = LINE.findall(done.stderr)
    assert found and "are missing" not in done.stderr and "twice" not in done.stderr, done.stderr
    return [(int(put), int(got), int(errors), rest) for put, got, errors, rest in found]


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_a_rate_is_kept_and_all_of_it_read(broker, scheme):
    put, got, errors, rest = run(broker, "--workload", "latency", "--set", "producerRate=500",
                                 scheme=scheme)[0]
    assert put > 250 and got > 250 and errors == 0
    assert "publish p50" in rest and "end to end p50" in rest


def test_producers_have_a_dpdk_port_and_consumers_a_socket():
    with Memif(shards=1) as memif:
        done = bench("run", "--url", memif.url, *SHORT, "--workload", "transport", "--set",
                     "producerRate=200", "--set", "subscriptionsPerTopic=1", "--set",
                     f"clientSetting=consumer.url=tcp://{memif.broker.address}")
        memif.broker.check_alive()
    _, _, errors, rest = LINE.search(done.stderr).groups()
    assert errors == "0" and "missing" not in done.stderr, done.stderr
    assert "publish p50" in rest and "end to end p50" in rest, done.stderr


def test_runs_and_workloads_follow_each_other(broker):
    found = run(broker, "--workload", "transport", "--workload", "latency", "--runs", "2", "--set",
                "producerRate=200", "--set", "duration=300ms")
    assert len(found) == 4


def test_results_are_kept_shown_again_and_compared(broker, tmp_path):
    for name in ("a", "b"):
        run(broker, "--workload", "transport", "--runs", "2", "--set", "producerRate=200", "--set",
            "duration=300ms", "--label", name, "--json", tmp_path / f"{name}.json", "--pid",
            broker.pid)
    kept = json.loads((tmp_path / "a.json").read_text())
    assert len(kept) == 2
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    shown = bench("report", a, b).stdout
    assert "transport" in shown and "publish latency" in shown and "2 runs" in shown
    words = ("compare", a, b, "--gate")
    assert "published" in bench(*words, "published_per_s>=0.01").stdout
    bench(*words, "published_per_s>=100", code=3)
    assert "no figure is called" in bench(*words, "speed>=1", code=2).stderr
    bench("report", a, b, "--json", tmp_path / "both.json", "--html", tmp_path / "both.html")
    assert len(json.loads((tmp_path / "both.json").read_text())) == 4
    assert "no-such.json" in bench("report", tmp_path / "no-such.json", code=1).stderr


def topics(broker):
    """Those of runs."""
    with broker.connect() as connection:
        body = connection.request("Metadata", 9, topics=None)
        return {t["name"] for t in body["topics"] if t["name"].startswith("sluice-bench-")}


def test_topics_go_unless_they_are_to_stay(broker):
    before = topics(broker)
    words = ("--workload", "transport", "--set", "duration=200ms", "--set", "topics=2")
    run(broker, *words)
    assert topics(broker) == before
    run(broker, *words, "--keep-topics")
    assert len(topics(broker) - before) == 2


def test_sluice_runs_it(broker):
    sluice = os.environ.get("SLUICE", BUILD / "client/sluice")
    done = bench("bench", "run", "--url", f"tcp://{broker.address}", *SHORT, "--workload",
                 "transport", program=(sluice,))
    assert LINE.search(done.stderr)
    assert "sluice-bench run" in bench("bench", "--help", program=(sluice,)).stdout
    assert "sluice bench" in bench("help", program=(sluice,)).stdout


def test_help_is_of_one_command_or_of_all():
    everything, run_alone = bench("--help").stdout, bench("run", "--help").stdout
    assert bench("-h").stdout == everything
    assert "--gate" in bench("compare", "--help").stdout
    assert "--gate" in everything and "--gate" not in run_alone
    assert "--give-up" in everything and "--give-up" in run_alone
    assert all(len(line) <= 100 for line in everything.splitlines())


@pytest.mark.parametrize("words, said", [
    ((), "what is it to do"),
    (("fly",), "no 'fly'"),
    (("run", "--fast"), "no flag '--fast'"),
    (("run", "--rnus=2"), "no flag '--rnus'; did you mean '--runs'?"),
    (("rum",), "there is no 'rum'; did you mean 'run'?"),
    (("run", "--runs"), "--runs needs N"),
    (("run", "--runs", "0"), "--runs takes a whole number"),
    (("run", "--runs=-1"), "--runs takes a whole number"),
    (("run", "--pid", "x"), "--pid takes a whole number"),
    (("run", "here"), "run takes no 'here'"),
    (("run", "--driver", "mqtt"), "no driver 'mqtt'"),
    (("run", "--workload", "idle"), "no workload 'idle'"),
    (("run", "--workload", "latency", "--workload", "idle"), "no workload 'idle'"),
    (("run", "--pid", str(2 ** 31 - 1)), "no such process"),
    (("run", "--set", "producerRate"), "--set takes KEY=VALUE"),
    (("run", "--set", "producerRates=1"), 'did you mean "producerRate"'),
    (("run", "--set", "producerRate=fast"), "producerRate"),
    (("run", "--set", "tailConsumers=1"), "tailConsumers without consumerBacklogSize"),
    (("run", "--url", "ftp://x"), "ftp"),
    (("compare", "a.json"), "compare needs A.json B.json"),
    (("report",), "report needs RESULT.json"),
])
def test_a_wrong_command_line_is_told(words, said):
    code = 1 if "--url" in words else 2
    assert said in bench(*words, code=code).stderr


def test_a_workload_file_that_is_not_there_is_told():
    assert "no-such.yaml" in bench("run", "--workload", "no-such.yaml", code=1).stderr


@pytest.mark.parametrize("flag", ["--json", "--html", "--percentiles"])
def test_what_cannot_be_written_is_told_before_anything_runs(tmp_path, flag):
    told = bench("run", "--url", "tcp://127.0.0.1:1", flag, tmp_path / "none/below", code=1).stderr
    assert "none/below: No such file" in told and "127.0.0.1" not in told
    (tmp_path / "folder").mkdir()
    if flag != "--percentiles":
        assert "Is a directory" in bench("run", flag, tmp_path / "folder", code=1).stderr


def test_nobody_there_is_told():
    port = harness.free_port()
    done = bench("run", "--url", f"tcp://127.0.0.1:{port}", "--set",
                 "clientSetting=default.api.timeout.ms=500", code=1)
    assert f"127.0.0.1:{port}" in done.stderr


def start(broker, *words):
    """Has made its topic, and has had time to send."""
    before = topics(broker)
    running = subprocess.Popen([PROGRAM, "run", "--url", f"tcp://{broker.address}", *words],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    harness.eventually("a topic", lambda: topics(broker) - before, SECONDS)
    time.sleep(2)
    return running


def test_a_broker_that_dies_ends_it():
    with harness.Broker(shards=1) as broker:
        running = start(broker, "--workload", "transport", "--set", "duration=60s", "--give-up",
                        "2", "--set", "clientSetting=default.api.timeout.ms=500")
        broker.kill()
        out, told = running.communicate(timeout=SECONDS)
    assert running.returncode == 1, (out, told)
    assert "giving up" in told or "refused" in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_measured_and_ends_the_other_runs(broker, number):
    running = start(broker, "--workload", "transport", "--set", "duration=60s", "--set",
                    "warmupDuration=0s", "--runs", "3")
    running.send_signal(number)
    out, told = running.communicate(timeout=SECONDS)
    assert running.returncode == 0, (out, told)
    assert "Ended early" in out and LINE.search(told)


def test_a_host_is_sized_with_a_broker_of_its_own(tmp_path):
    done = bench("--build", BUILD, "--dir", tmp_path, *SHORT, "--workload", "transport",
                 program=(ROOT / "bench/size_host.py",))
    assert "broker's CPU" in done.stdout
    assert json.loads((tmp_path / "report/results.json").read_text())["workload"] == "transport"
    assert "<svg" in (tmp_path / "report/report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_terminal_sees_one_live_line(broker):
    ours, its = os.openpty()
    done = subprocess.run([PROGRAM, "run", "--url", f"tcp://{broker.address}", "--workload",
                           "transport", "--set", "duration=2500ms", "--set", "warmupDuration=0s"],
                          stdout=subprocess.DEVNULL, stderr=its, timeout=SECONDS, check=False)
    os.close(its)
    told = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0 and re.search(r"\r.*/s in, .*publish p99 .* left\x1b\[K", told), told


def test_the_lists_show_drivers_workloads_keys_and_figures():
    told = bench("list").stdout
    assert all(word in told for word in ("sluice", "latency", "producerRate", "publish_p99_ms",
                                         "NO_KEY|RANDOM_NANO|KEY_ROUND_ROBIN"))
