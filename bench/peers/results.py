"""What a run of bench/peers.py found, as tables: RESULTS.md.

Ratios are of one round each, Sluice's figure by the other's, and what is told is their median with
the smallest and the largest: a machine that drifts takes both along.  A figure that was not
measured is "-" or named as missing, never filled in.
"""
import json
import math
import pathlib
import re
import statistics

from peers import plan

OURS = "sluice"
OTHERS = tuple(label for label in plan.PEERS if label != "kafka")
MB = 1e6
REACHED_PERCENT = 99


# ---- reading ----

def read(folder):
    """peers.json with the figures of its runs, the limits and the storage engine's, where known."""
    folder = pathlib.Path(folder)
    found = json.loads((folder / "peers.json").read_text())
    for run in found["runs"]:
        run |= figures(json.loads((folder / "runs" / run["file"]).read_text()))
    for name in ("limits", "storage", "catch-up"):
        file = folder / f"{name}.json"
        found[name] = json.loads(file.read_text()) if file.is_file() else None
    return found


def figures(result):
    """Of a result file of sluice-bench, by the names that its gates have; None: not measured."""
    if isinstance(result, list):
        result = result[0]
    ours = result["sluice"]
    published, consumed, size = ours["published"], ours["consumed"], result["messageSize"]
    records = max(published, consumed)
    found = {"published_per_s": ours["publishedRate"] if published else None,
             "published_mb_per_s": ours["publishedRate"] * size / MB if published else None,
             "consumed_per_s": ours["consumedRate"] if consumed else None,
             "consumed_mb_per_s": ours["consumedRate"] * size / MB if consumed else None,
             "of_asked": (100 * ours["publishedRate"] / ours["askedRate"] if ours["askedRate"]
                          else None),
             "samples": ours["endToEndLatencyCount"] or ours["publishLatencyCount"],
             "caveats": ours["caveats"]}
    for kind, name in (("publish", "Publish"), ("end_to_end", "EndToEnd")):
        for quantile, end in (("p50", "50pct"), ("p99", "99pct"), ("p999", "999pct")):
            value = result[f"aggregated{name}Latency{end}"]
            known = ours[f"{name[0].lower()}{name[1:]}LatencyCount"]
            found[f"{kind}_{quantile}_ms"] = value if known else None
    return found | costs(ours, records, records * size / 1e9)


def costs(ours, records, gigabytes):
    if not ours["brokerKnown"] or not records:
        return {}
    broker = ours["broker"]
    cpu = broker["userSeconds"] + broker["systemSeconds"]
    return {"broker_cpu_s_per_million": cpu / records * 1e6, "broker_cpu_s_per_gb": cpu / gigabytes,
            "broker_cores": cpu / ours["seconds"],
            "broker_resident_mb": broker["residentBytesMax"] / MB}


# ---- what belongs together ----

def values(found, measure, label, figure):
    """By round."""
    return {run["round"]: run[figure] for run in found["runs"]
            if run["measure"] == measure and run["contender"] == label
            and run.get(figure) is not None}


def of_stays(found, label, figure):
    """By round and class."""
    return {(stay["round"], stay["durability"]): stay[figure] for stay in found["stays"]
            if stay["contender"] == label}


def comparable(found, measure, label, figure):
    """Values of runs that reached their rate: what is late at another load says nothing."""
    reached = values(found, measure, label, "of_asked")
    return {number: value for number, value in values(found, measure, label, figure).items()
            if reached.get(number, 100) >= REACHED_PERCENT}


def ratios(found, measure, figure, label, ours=OURS):
    """Ours by the other's, in each round that has both."""
    mine, theirs = (comparable(found, measure, one, figure) for one in (ours, label))
    return [mine[number] / theirs[number] for number in sorted(mine)
            if theirs.get(number)]


def best(found, measure, figure, larger, among=plan.PEERS):
    """The peer whose median is the best; None where none was measured."""
    medians = {label: statistics.median(of.values()) for label in among
               if (of := comparable(found, measure, label, figure))}
    pick = max if larger else min
    return pick(medians, key=medians.get) if medians else None


# ---- text ----

def number(value):
    """Three digits, thousands apart."""
    if value is None or math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace(",", " ")


def spread(of):
    """Median (smallest .. largest)."""
    of = list(of)
    if not of:
        return "-"
    if len(of) == 1:
        return number(of[0])
    return f"{number(statistics.median(of))} ({number(min(of))} .. {number(max(of))})"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


# ---- the tables ----

# Of each workload: figure, heading, and whether more is better, or None: no one's merit.
RATE = (("published_per_s", "records/s", True),
        ("published_mb_per_s", "MB/s", None),
        ("broker_cpu_s_per_million", "broker's CPU s a million", False),
        ("broker_cpu_s_per_gb", "CPU s a GB", False),
        ("broker_resident_mb", "its memory, MB", False))
LATENCY = (("end_to_end_p50_ms", "p50, ms", False),
           ("end_to_end_p99_ms", "p99, ms", False),
           ("end_to_end_p999_ms", "p99.9, ms", False),
           ("of_asked", "of the rate, %", None),
           ("broker_cores", "broker's CPU, cores", False),
           ("samples", "samples a round", None))
PUBLISH = (("publish_p50_ms", "p50, ms", False),
           ("publish_p99_ms", "p99, ms", False),
           ("publish_p999_ms", "p99.9, ms", False),
           ("of_asked", "of the rate, %", None),
           ("samples", "samples a round", None))
READ = (("consumed_per_s", "records/s", True),
        ("consumed_mb_per_s", "MB/s", None),
        ("broker_cpu_s_per_gb", "broker's CPU s a GB", False))
COLUMNS = {"rate": RATE, "latency": LATENCY, "publish": PUBLISH, "read": READ}


def measure_table(found, measure):
    columns = COLUMNS[measure["columns"]]
    rows = []
    for contender in found["contenders"]:
        of = [values(found, measure["name"], contender["label"], figure)
              for figure, _, _ in columns]
        if any(of):
            rows.append([contender["label"], *(spread(cells.values()) for cells in of)])
    head = ["", *(heading for _, heading, _ in columns)]
    return table(head, rows) if rows else "Nothing of it was measured."


def ratio_table(found, measure):
    """Sluice by each peer, where a ratio says something."""
    columns = [column for column in COLUMNS[measure["columns"]] if column[2] is not None]
    rows = []
    for ours, label in (*((OURS, label) for label in plan.PEERS), *plan.SAME_CLIENT):
        of = [ratios(found, measure["name"], figure, label, ours) for figure, _, _ in columns]
        if any(of):
            rows.append([f"{ours} / {label}", *map(spread, of)])
    return table(["ratio", *(heading for _, heading, _ in columns)], rows) if rows else ""


def stays_table(found):
    rows = []
    for contender in found["contenders"]:
        label = contender["label"]
        started = of_stays(found, label, "start_s")
        if started:
            rows.append([label, spread(started.values()),
                         spread(byte / MB for byte in of_stays(found, label,
                                                               "idle_bytes").values()),
                         spread(of_stays(found, label, "idle_cores").values())])
    return table(["", "start to first answer, s", "idle memory, MB", "idle CPU, cores"], rows)


def host_tables(found):
    parts = []
    host = found["limits"]
    if host:
        rows = [[name, number(value)] for name, value in host["figures"].items()]
        rows += [[name, f"missing: {reason}"] for name, reason in host["missing"].items()]
        parts.append(table(["limit of the host", ""], rows))
    if found["storage"]:
        rows = []
        for scenario in found["storage"]["scenarios"]:
            of = scenario["summary"]
            cells = [of[key] for key in ("engine_mb_per_s", "fio_mb_per_s", "ratio_mb_per_s",
                                         "ratio_cpu_s_per_gb")]
            rows.append([scenario["name"], *(f"{number(cell['median'])} ({number(cell['min'])} .. "
                                             f"{number(cell['max'])})" for cell in cells)])
        parts.append(table(["storage engine beside fio", "engine, MB/s", "fio, MB/s", "ratio",
                            "ratio of CPU a byte"], rows))
    if found["catch-up"]:
        rows = [[str(result["partitions"]), *(spread(one[who]["mb_per_s"]
                                                     for one in result["rounds"])
                                              for who in ("sluice", "fio", "iperf3"))]
                for result in found["catch-up"]["results"]]
        parts.append(table(["catch-up read from the disk, partitions", "sluice, MB/s", "fio, MB/s",
                            "iperf3, MB/s"], rows))
    return "\n\n".join(parts)


# ---- the aims ----

def against(found, title, measure, figure, larger, label, aim):
    """One row: what was measured, the aim, and whether it is reached; label None: no such peer."""
    of = ratios(found, measure, figure, label) if label else []
    bound = f"at least {aim}" if larger else f"at most {aim}"
    return row(title, f"/ {label or 'no peer'}", of, bound,
               lambda median: median >= aim if larger else median <= aim)


def row(title, beside, of, bound, holds):
    verdict = "-" if not of else "yes" if holds(statistics.median(of)) else "**no**"
    return [title, beside, spread(of), bound, verdict]


def aims(found):
    rows = [against(found, "produce, 1 KB, flushed", "produce-flush", "published_per_s", True,
                    "kafka", 3.0),
            against(found, "produce, 1 KB, defaults", "produce", "published_per_s", True,
                    best(found, "produce", "published_per_s", True), 1.5)]
    for title, measure, figure in (
            ("broker's CPU a million 100 B records", "small", "broker_cpu_s_per_million"),
            ("broker's CPU a GB of 1 KB records", "produce", "broker_cpu_s_per_gb")):
        rows += [against(found, title, measure, figure, False, "kafka", 0.2),
                 against(found, title, measure, figure, False,
                         best(found, measure, figure, False, OTHERS), 0.5)]
    for quantile, figure in (("p99", "end_to_end_p99_ms"), ("p99.9", "end_to_end_p999_ms")):
        rows += [against(found, f"end to end {quantile}", "latency", figure, False, "kafka", 0.2),
                 against(found, f"end to end {quantile}", "latency", figure, False,
                         best(found, "latency", figure, False), 1.0)]
    return rows + beside_aims(found) + stay_aims(found)


def beside_aims(found):
    rows = []
    for scenario in (found["storage"] or {"scenarios": []})["scenarios"]:
        of = [pair["ratio_mb_per_s"] for pair in scenario["pairs"]]
        rows.append(row(f"storage engine, {scenario['name']}", "/ fio", of, "at least 0.95",
                        lambda median: median >= 0.95))
    for result in (found["catch-up"] or {"results": []})["results"]:
        of = [one["sluice"]["mb_per_s"] / min(one["fio"]["mb_per_s"], one["iperf3"]["mb_per_s"])
              for one in result["rounds"]]
        rows.append(row("catch-up read from the disk", "/ the lesser of fio and iperf3", of,
                        "at least 0.9", lambda median: median >= 0.9))
    return rows


def stay_aims(found):
    memory = [byte / MB for byte in of_stays(found, OURS, "idle_bytes").values()]
    start = list(of_stays(found, OURS, "start_s").values())
    return [row("memory of an idle broker, MB", "", memory, "below 64", lambda of: of < 64),
            row("start to first answer, s", "", start, "below 0.3", lambda of: of < 0.3)]


def slower(found):
    """A sentence for each figure in which a peer's is better."""
    lines = []
    for measure in found["measures"]:
        for figure, heading, larger in COLUMNS[measure["columns"]]:
            for label in plan.PEERS if larger is not None else ():
                of = ratios(found, measure["name"], figure, label)
                if of and (statistics.median(of) < 1 if larger else statistics.median(of) > 1):
                    lines.append(f"- {measure['title']}, {heading}: {spread(of)} times {label}'s.")
    for figure, heading in (("start_s", "start to first answer"), ("idle_bytes", "idle memory")):
        mine = of_stays(found, OURS, figure)
        for label in plan.PEERS:
            theirs = of_stays(found, label, figure)
            of = [mine[at] / theirs[at] for at in mine if theirs.get(at)]
            if of and statistics.median(of) > 1:
                lines.append(f"- {heading}: {spread(of)} times {label}'s.")
    return lines


# ---- the page ----

CAVEATS = (
    "Client and broker share one machine; brokers have the cores named above, clients the others.",
    "Clients are different libraries: rates are of broker and client together. Of the broker alone "
    "are its CPU and its memory.",
    "Absolute figures are of this machine at that hour; ratios of one round carry over.",
    "p99.9 of fewer than a million samples is a hint; the number of samples stands beside it.",
    "Where less than 99 % of a rate was reached, latencies are of another load: not compared.",
    "A backlog that was just written is read from memory: the broker's own or the kernel's.",
    "A polled memif keeps its core busy whatever it does, so its CPU is not compared.",
)


def missing_lines(found):
    grouped = {}
    for one in found["missing"]:
        of = (one["contender"], one["durability"], one["measure"], one["reason"])
        grouped.setdefault(of, []).append(one["round"] + 1)
    return [f"- {contender}" + (f", {durability}" if durability else "")
            + (f", {measure}" if measure else "")
            + f" (round {', '.join(map(str, rounds))}): {reason}"
            for (contender, durability, measure, reason), rounds in grouped.items()]


def caveat_lines(found):
    """Ours, then what sluice-bench said of runs: sentences that differ by a number are one."""
    told = {}
    for run in found["runs"]:
        for sentence in re.findall(r".+?[.](?:\s+|$)", run.get("caveats", "")):
            told.setdefault(re.sub(r"\d+([.]\d+)?", "#", sentence), []).append(
                (f"{run['measure']} of {run['contender']}", sentence.strip()))
    lines = [f"- {text}" for text in CAVEATS]
    if not found.get("whole"):
        lines.append("- The run was stopped before its end: the last rounds lack contenders.")
    for same in told.values():
        who = list(dict.fromkeys(name for name, _ in same))
        where = ", ".join(who[:6]) + (f" and {len(who) - 6} more" if len(who) > 6 else "")
        lines.append(f"- In {len(same)} of {len(found['runs'])} runs ({where}), such as: "
                     + same[0][1])
    return lines


def versions(found):
    by_label = {stay["contender"]: stay["version"] for stay in found["stays"]}
    return [[one["label"], by_label.get(one["label"], "missing"), one["note"]]
            for one in found["contenders"]]


def commands(found):
    """One of each measure."""
    first = {}
    for run in found["runs"]:
        if run["contender"] == OURS:
            first.setdefault(run["measure"], run["command"])
    return "".join(f"    {command}\n\n" for command in [found["command"], *first.values()])


def section(title, *parts):
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def markdown(found):
    machine = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    quick = "**A quick run: that it works; figures mean nothing.**\n\n" if found["quick"] else ""
    load, cpus = found["machine"].get("load_average", 0), found["machine"].get("cpus", 1)
    if load > cpus:
        quick += (f"**The machine had other work (load average {load:.0f} on {cpus} cores): trust "
                  "CPU and ratios, no rate and no latency by itself.**\n\n")
    rounds = len({run["round"] for run in found["runs"]})
    head = (f"# Sluice beside its peers\n\n{quick}Written by `bench/peers.py` from one run: commit "
            f"`{found['commit']}`, {found['started']}, {rounds} of {found['rounds']} rounds, "
            f"{found['seconds']} s a measurement, each broker on {found['cores']} core(s). Cells "
            "are the median (smallest .. largest) of the rounds. "
            "[peers/README.md](peers/README.md) says what is compared and why that is fair.\n\n"
            f"{machine}")
    worse = slower(found)
    parts = [head,
             section("Slower than a peer, or costlier", "\n".join(worse) or "Nothing in this run."),
             section("Missing", "\n".join(missing_lines(found)) or "Nothing."),
             section("Against the aims", table(["measure", "beside", "measured", "aim", "reached"],
                                               aims(found)))]
    parts += [section(f"{measure['title']} (`{measure['name']}`)", measure_table(found, measure),
                      ratio_table(found, measure)) for measure in found["measures"]]
    parts += [section("Start and idleness", stays_table(found)),
              section("What the host can do", host_tables(found)),
              section("Who", table(["", "version", "client"], versions(found)),
                      "\n".join(f"- {name}: {'; '.join(of)}"
                                for name, of in found["settings"].items())),
              section("Caveats", "\n".join(caveat_lines(found))),
              section("Commands", commands(found).rstrip("\n"))]
    return "\n\n".join(parts) + "\n"
