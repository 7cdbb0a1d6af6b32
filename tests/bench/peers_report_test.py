"""What a run of bench/peers.py does in which order, and what its tables say of it."""
import argparse
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from peers import plan, results  # noqa: E402

OPTIONS = argparse.Namespace(seconds=4, warm_up=1, partitions=16, rate=5000, flush_rate=500,
                             backlog=256)


# ---- the plan ----

def order(rounds):
    return [(stay.round, stay.durability, stay.contender.label)
            for stay in plan.stays(rounds, plan.CONTENDERS, plan.measures(OPTIONS))]


def test_contenders_take_turns_and_the_second_round_runs_backwards():
    of = order(2)
    there, back = ([label for number, durability, label in of
                    if number == wanted and durability == "default"] for wanted in (0, 1))
    assert len(there) == len(set(there)) == len(plan.CONTENDERS)
    assert there == back[::-1]


def test_each_round_has_every_contender_of_a_class_once():
    of = order(3)
    assert len(of) == len(set(of))
    assert {number for number, _, _ in of} == {0, 1, 2}


def test_a_contender_does_only_what_it_is_there_for():
    measured = {measure.name for stay in plan.stays(1, plan.CONTENDERS, plan.measures(OPTIONS))
                if stay.contender.label == "sluice-memif" for measure in stay.measures}
    assert measured == {"publish"}


def test_all_contenders_get_the_same_settings_and_differ_in_what_an_acknowledgement_is():
    for measure in plan.measures(OPTIONS):
        assert measure.settings.get("partitionsPerTopic", 16) == 16
        assert "acks" not in measure.settings
    assert [one.acks["flush"] for one in plan.CONTENDERS if "flush" in one.acks] == ["all"] * 6


# ---- the tables ----

def story(**more):
    """Two rounds of one measure: Sluice does 300 and 200, Kafka 100 each."""
    measure = next(one for one in plan.measures(OPTIONS) if one.name == "produce-flush")

    def run(number, label, rate):
        return {"round": number, "measure": measure.name, "contender": label,
                "published_per_s": rate, "command": f"run {label}", "caveats": ""}

    return {"machine": {"cpu": "this one"}, "commit": "abc", "started": "today", "command": "all",
            "quick": False, "whole": True, "rounds": 2, "cores": 1, "seconds": 4,
            "settings": {"kafka": ["heap"]},
            "measures": [{"name": measure.name, "title": measure.title, "columns": measure.columns,
                          "durability": measure.durability, "settings": measure.settings}],
            "contenders": [{"label": one.label, "note": one.note} for one in plan.CONTENDERS],
            "stays": [{"contender": "sluice", "round": 0, "durability": "flush", "version": "0.1.0",
                       "start_s": 0.1, "idle_bytes": 70e6, "idle_cores": 0.0},
                      {"contender": "kafka", "round": 0, "durability": "flush", "version": "4.4.0",
                       "start_s": 4.0, "idle_bytes": 400e6, "idle_cores": 0.02}],
            "runs": [run(0, "sluice", 300.0), run(0, "kafka", 100.0),
                     run(1, "kafka", 100.0), run(1, "sluice", 200.0)],
            "missing": [], "limits": None, "storage": None, "catch-up": None} | more


def aim(found, title):
    return next(cells for cells in results.aims(found) if cells[0] == title)


def test_a_ratio_is_of_one_round_and_told_as_median_with_its_spread():
    found = story()
    assert results.ratios(found, "produce-flush", "published_per_s", "kafka") == [3.0, 2.0]
    assert results.spread([3.0, 2.0]) == "2.50 (2.00 .. 3.00)"


def test_a_round_that_only_one_of_both_has_gives_no_ratio():
    found = story()
    found["runs"].pop()
    assert results.ratios(found, "produce-flush", "published_per_s", "kafka") == [3.0]


def test_a_run_that_did_not_reach_its_rate_is_not_compared():
    found = story()
    for run in found["runs"]:
        run["of_asked"] = 98.0 if run["contender"] == "kafka" and run["round"] == 0 else 99.5
    assert results.ratios(found, "produce-flush", "published_per_s", "kafka") == [2.0]


def test_an_aim_that_is_not_reached_says_so():
    assert aim(story(), "produce, 1 KB, flushed")[-1] == "**no**"
    assert aim(story(), "memory of an idle broker, MB")[-1] == "**no**"
    assert aim(story(), "start to first answer, s")[-1] == "yes"


def test_what_was_not_measured_is_neither_reached_nor_missed():
    cells = aim(story(), "produce, 1 KB, defaults")
    assert cells[2] == "-" and cells[-1] == "-"


def test_the_best_other_peer_is_whose_median_is_the_best():
    found = story()
    found["runs"] += [{"round": number, "measure": "small", "contender": label,
                       "published_per_s": 1, "broker_cpu_s_per_million": cost}
                      for number, label, cost in ((0, "nats", 3.0), (0, "redis", 2.0),
                                                  (1, "nats", 1.0), (1, "redis", 2.5))]
    assert results.best(found, "small", "broker_cpu_s_per_million", False) == "nats"
    assert results.best(found, "small", "broker_cpu_s_per_million", True) == "redis"
    assert results.best(found, "latency", "end_to_end_p99_ms", False) is None


def test_catch_up_is_measured_by_the_lesser_of_disk_and_loopback_in_each_round():
    speeds = [{"sluice": {"mb_per_s": mine}, "fio": {"mb_per_s": disk},
               "iperf3": {"mb_per_s": loopback}}
              for mine, disk, loopback in ((475.0, 1000.0, 500.0), (800.0, 1000.0, 1600.0))]
    found = story() | {"catch-up": {"results": [{"partitions": 1, "rounds": speeds}]}}
    assert aim(found, "catch-up read from the disk")[2] == "0.875 (0.800 .. 0.950)"
    assert "| 1 | 638 (475 .. 800) | " in results.markdown(found)


def test_what_is_slower_than_a_peer_is_said_before_all_tables():
    found = story()
    for run in found["runs"]:
        run["published_per_s"] = 50.0 if run["contender"] == "sluice" else 100.0
    text = results.markdown(found)
    assert "records/s: 0.500 (0.500 .. 0.500) times kafka's." in text
    assert "2 of 2 rounds" in text
    assert text.index("## Slower than a peer") < text.index("times kafka's") < text.index("\n|")


def test_nothing_slower_is_said_too():
    assert "Nothing in this run." in results.markdown(story())


def test_a_missing_peer_is_named_with_its_reason_and_not_filled_in():
    missing = [{"contender": "rabbitmq", "round": number, "durability": "flush", "measure": "",
                "reason": "it never flushes"} for number in (0, 1)]
    text = results.markdown(story(missing=missing))
    assert "- rabbitmq, flush (round 1, 2): it never flushes" in text
    assert "| rabbitmq | missing |" in text
    assert "sluice / rabbitmq" not in text


def test_what_runs_say_of_themselves_is_told_once():
    found = story()
    for load, run in enumerate(found["runs"]):
        run["caveats"] = f"Reached 9{load}.5 % of it. Busy: load {load}.25 on 2 cores."
    lines = results.caveat_lines(found)[-2:]
    assert lines == ["- In 4 of 4 runs (produce-flush of sluice, produce-flush of kafka), such as: "
                     "Reached 90.5 % of it.",
                     "- In 4 of 4 runs (produce-flush of sluice, produce-flush of kafka), such as: "
                     "Busy: load 0.25 on 2 cores."]


def test_a_run_that_was_stopped_says_so():
    assert "stopped before its end" in results.markdown(story(whole=False))
    assert "stopped before its end" not in results.markdown(story())


def test_a_busy_machine_is_said_at_the_top():
    busy = story(machine={"cpus": 2, "load_average": 19.6})
    assert "load average 20 on 2 cores" in results.markdown(busy).split("## ")[0]
    assert "load average" not in results.markdown(story()).split("## ")[0]


def test_a_quick_run_says_that_its_figures_mean_nothing():
    assert "figures mean nothing" in results.markdown(story(quick=True))


@pytest.mark.parametrize("value, text", [(1234567.0, "1 234 567"), (12.345, "12.3"),
                                         (0.01234, "0.0123"), (0, "0"), (None, "-"),
                                         (float("nan"), "-")])
def test_a_number_has_three_digits(value, text):
    assert results.number(value) == text
