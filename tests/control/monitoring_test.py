#!/usr/bin/env python3
"""What is exported, what is written about it, and what looks at it say the same.

    monitoring_test.py METRICS_PRINT FOLDER [--update]

METRICS_PRINT is the program of metrics_print.c, FOLDER control/http.  --update writes the table of
metrics.md anew.
"""
import pathlib
import re
import subprocess
import sys
import unittest

PRINT = FOLDER = None
TABLE = "| metric |"


def printed(what):
    return subprocess.run([PRINT, what], check=True, stdout=subprocess.PIPE, text=True).stdout


def promtool(*words, text=None):
    found = subprocess.run(["promtool", *words], input=text, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, check=False)
    return found.returncode, found.stdout


def exported():
    """Name -> kind of all that is ever exported."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", printed("table"), re.M)
    return dict(rows)


def series(kinds):
    """What a query may name."""
    names = {name for name, kind in kinds.items() if kind != "histogram"}
    for name in kinds.keys() - names:
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def named(text):
    return set(re.findall(r"\b(?:sluice|process)_[a-z0-9_]+", text))


class Exposition(unittest.TestCase):
    def test_promtool_accepts_what_is_exported(self):
        code, said = promtool("check", "metrics", text=printed("text"))
        self.assertEqual((code, said), (0, ""))

    def test_metrics_md_has_the_table_of_what_is_exported(self):
        text = (FOLDER / "metrics.md").read_text()
        self.assertEqual(text[text.index(TABLE):], printed("table"), "run with --update")

    def test_counters_and_nothing_else_end_in_total(self):
        for name, kind in exported().items():
            self.assertEqual(name.endswith("_total"), kind == "counter", name)


class Monitoring(unittest.TestCase):
    def test_what_looks_at_metrics_names_exported_ones(self):
        paths = [path for path in (FOLDER / "monitoring").iterdir()
                 if path.suffix in (".json", ".yml")]
        self.assertTrue(paths)
        for path in paths:
            names = named(path.read_text())
            self.assertTrue(names, path)
            self.assertEqual(names - series(exported()), set(), path)

    def test_promtool_accepts_the_rules(self):
        code, said = promtool("check", "rules", str(FOLDER / "monitoring" / "alerts.yml"))
        self.assertEqual(code, 0, said)

    def test_alerts_fire_when_they_should(self):
        code, said = promtool("test", "rules",
                              str(FOLDER / "monitoring" / "alerts_test.yml"))
        self.assertEqual(code, 0, said)


def update():
    path = FOLDER / "metrics.md"
    text = path.read_text()
    path.write_text(text[:text.index(TABLE)] + printed("table"))


if __name__ == "__main__":
    PRINT, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
    if "--update" in sys.argv[3:]:
        update()
    else:
        unittest.main(argv=sys.argv[:1])
