"""What `sluice` says of itself - help, man page, completions - is made of its tables."""
import json
import pathlib
import re
import subprocess

import pytest
from sluice_process import SECONDS, Sluice, program

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = ROOT / "client" / "command"
VERBS = re.findall(r'^VERB\("([\w-]+)", "([\w-]*)"', (COMMAND / "verbs.def").read_text(), re.M)
FLAGS = re.findall(r"^FLAG\(\w+, (?:'\w'|0), \"([\w-]+)\"", (COMMAND / "flags.def").read_text(), re.M)
EXITS = re.findall(r"^EXIT_CODE\(\w+, (\d+),", (COMMAND / "manual.def").read_text(), re.M)
NAMES = [" ".join(filter(None, verb)) for verb in VERBS]


@pytest.fixture(name="alone")
def nobody_there():
    return Sluice("127.0.0.1:1")


def man_page(alone, tmp_path):
    """As text; anything that man warns of fails."""
    page = tmp_path / "sluice.1"
    page.write_bytes(alone.run("help", "man"))
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(page)], capture_output=True, text=True,
        timeout=SECONDS, check=True,
        env={"MANWIDTH": "100", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANOPT": "--nh --nj"})
    assert done.stderr == ""
    return re.sub(r"\x1b\[[\d;]*m|.\x08", "", done.stdout)


def test_every_verb_and_flag_is_in_the_help(alone):
    everything = alone.run("help").decode()
    assert len(VERBS) >= 8 and len(FLAGS) >= 15
    shown = set()
    for (noun, verb), name in zip(VERBS, NAMES):
        assert f"sluice {name}" in everything
        text = alone.run("help", noun, *([verb] if verb else [])).decode()
        if noun != "bench":
            assert text == alone.run(*name.split(), "--help").decode()
        shown |= set(re.findall(r"^  (?:-\w,|   ) --([\w-]+)", text, re.M))
    assert shown == set(FLAGS)
    assert set(re.findall(r"^  (\d+) ", everything, re.M)) == set(EXITS)
    assert "SLUICE_BROKERS" in everything
    assert "linger.ms" in alone.run("help", "options").decode()


def test_help_is_no_wider_than_a_hundred_columns(alone):
    for words in ((), *(name.split() for name in NAMES), ("options",)):
        for line in alone.run("help", *words).decode().splitlines():
            assert len(line) <= 100 and line == line.rstrip(), (words, line)


def test_the_man_page_has_everything_and_man_warns_of_nothing(alone, tmp_path):
    text = man_page(alone, tmp_path)
    for name in NAMES:
        assert re.search(rf"^   sluice {name}\b", text, re.M), name
    for flag in FLAGS:
        assert re.search(rf"^       (-\w, )?--{flag}\b", text, re.M), flag
    for heading in ("EXIT STATUS", "ENVIRONMENT", "FILES", "CLIENT OPTIONS"):
        assert re.search(rf"^{heading}$", text, re.M)
    assert "partitions to use; produce takes one" in text.replace("\n", " ")


def candidates(sluice, *words):
    return [line.split("\t")[0] for line in sluice.lines("completion", "words", "--", *words)]


def test_nouns_verbs_and_flags_are_completed_by_the_tables(alone):
    assert set(candidates(alone, "")) == {noun for noun, _ in VERBS} | {"help"}
    assert set(candidates(alone, "topic", "")) == {v for n, v in VERBS if n == "topic"}
    assert candidates(alone, "clu") == ["cluster"]
    assert candidates(alone, "help", "clu") == ["cluster"]
    assert "options" in candidates(alone, "help", "")
    assert "--partitions" in candidates(alone, "topic", "create", "--part")
    assert "--partitions" not in candidates(alone, "consume", "--part")
    assert "--brokers" not in candidates(alone, "version", "--")


@pytest.mark.parametrize("words, wanted", [
    (["topic", "list", "-o", ""], ["table", "json", "jsonl", "yaml"]),
    (["topic", "list", "--output", "js"], ["json", "jsonl"]),
    (["topic", "list", "--output=y"], ["--output=yaml"]),
    (["consume", "-s", ""], ["beginning", "end"]),
    (["topic", "list", "-X", "linger"], ["linger.ms="]),
    (["topic", "list", "--set=linger"], ["--set=linger.ms="]),
    (["produce", "topic", ""], [":files"]),
    (["produce", "topic", "-z", "z"], ["zstd"]),
    (["produce", "topic", "-n", "5", "--", "-"], [":files"]),
    (["topic", "create", "-P", ""], []),
    (["topic", "list", ""], []),
    (["frob", ""], []),
    (["frob", "--frob=", "-", "--"], None),
    (["consume", "x", ""], []),
    (["topic", "describe", ""], []),  # nobody there to ask
    ([""] * 200, None),
    (["-o"] * 200, None),
])
def test_what_may_follow(alone, words, wanted):
    told = candidates(alone, *words) if wanted is not None else alone.run(
        "completion", "words", "--", *words)
    assert wanted is None or told == wanted


def test_topics_and_groups_of_the_broker_are_completed(broker, sluice, topic):
    sluice.run("topic", "create", topic, f"{topic}-b")
    for words in (["topic", "delete", topic], ["consume", topic], ["topic", "describe", "x", topic]):
        told = candidates(sluice, "-b", broker.address, *words)
        assert sorted(told) == [topic, f"{topic}-b"]


BASH = """
source <("$1" completion bash)
COMP_LINE=$2 COMP_POINT=${#2}
_sluice "$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("line, wanted", [
    ("sluice clu", ["cluster"]),
    ("sluice group li", ["list"]),
    ("sluice topic list --output=js", ["json", "jsonl"]),  # bash has "--output=" already
    ("sluice topic list -X linger", ["linger.ms="]),
    ("sluice -b 127.0.0.1:9092 clu", ["cluster"]),
    ("sluice produce topic FOLDER/a", ["FOLDER/a file", "FOLDER/another"]),
])
def test_bash_completes(tmp_path, line, wanted):
    for name in ("a file", "another", "other"):
        (tmp_path / name).touch()
    line, *wanted = (text.replace("FOLDER", str(tmp_path)) for text in (line, *wanted))
    done = subprocess.run(["bash", "-c", BASH, "bash", str(program().resolve()), line],
                          capture_output=True, text=True, timeout=SECONDS, check=True)
    assert sorted(done.stdout.splitlines()) == wanted and done.stderr == ""


@pytest.mark.parametrize("shell, needs", [
    ("bash", "complete -F _sluice sluice"), ("zsh", "#compdef sluice"),
    ("fish", "complete -c sluice")])
def test_each_shell_has_a_script(alone, shell, needs):
    assert needs in alone.run("completion", shell).decode()


def test_the_version_needs_no_broker(alone):
    assert re.fullmatch(r"\d+\.\d+\.\d+", json.loads(alone.run("version", "-o", "json"))["version"])
    assert b"SLUICE" in alone.run("version")
