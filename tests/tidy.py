#!/usr/bin/env python3
"""Tidiness as a test: what a compiler does not say about the tree.

    tests/tidy.py [--root DIR] [--build DIR] [--untested]

Prints `file:line: what, do this instead` for each finding and ends with 1 when there is one.
With --build, a configured build folder, every header is also compiled alone.  --untested lists
the sources that have no test of their own; that is a note, not a finding.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

# What each folder may include from; the longest matching folder counts.  Arrows point one way:
# base <- storage, hw <- dataplane <- control, and the client beside the last.
EDGES = {
    "base": ["base"],
    "storage": ["base", "storage"],
    "hw": ["base", "hw"],
    "dataplane": ["base", "storage", "hw", "dataplane"],
    "dataplane/kafka": ["base", "dataplane/kafka"],
    "dataplane/transport": ["base", "dataplane/transport"],
    "control": ["base", "storage", "hw", "dataplane", "control"],
    # The admin HTTP is a client of its own broker, by the public API.
    "control/http": ["base", "storage", "hw", "dataplane", "control", "client/sluice.h"],
    # A client reads and writes record batches too: the format's own files are shared, see
    # client/README.md.
    "client": ["base", "hw", "dataplane/kafka", "dataplane/transport", "dataplane/dpdk", "client",
               "storage/batch.h", "storage/batch_build.h", "storage/records.h",
               "storage/compress.h", "storage/compressor.h",
               # The tables of settings are a library of their own.
               "control/config.h", "control/param.h", "control/setting_tables.h"],
    "bench": ["base", "storage", "hw", "dataplane", "control", "client", "bench"],
    "tests": ["base", "storage", "hw", "dataplane", "control", "client", "bench", "tests"],
}
# Generated into the build folder, included by name.
GENERATED = {"kafka_messages.h": "dataplane/kafka", "kafka_messages.c": "dataplane/kafka",
             "kafka_fill_messages.c": "dataplane/kafka"}
# Libraries that a folder keeps out, by the start of the header's name.
FOREIGN = {
    "base": ["rte_", "liburing"],
    "storage": ["rte_"],
    "dataplane/kafka": ["rte_", "liburing", "sys/socket", "pthread"],
    "dataplane/transport": ["rte_", "liburing", "sys/socket", "pthread"],
}
# base/banned.h has the compiler say most of this; here it also holds where that is not included.
BANNED = {
    r"(strcpy|strcat|stpcpy|sprintf|vsprintf|gets)": "is not bounded, use snprintf or memcpy",
    r"strn(cpy|cat)": "may leave no terminator, use snprintf or memcpy",
    r"strtok(_r)?": "writes into its input, use strcspn or strchr",
    r"ato(i|l|ll|f)": "hides errors, use strtoll and look at the end and errno",
    r"alloca": "has no failure, use an arena",
    r"s?rand(om)?": "is no seam, take random bytes from uuid_random or a seeded generator",
    r"(localtime|gmtime|asctime|ctime)": "keeps its answer in a static, use its _r twin",
    r"(setjmp|longjmp)": "hides control flow, return an error",
}
BANNED_IN_DATAPLANE = {
    r"(v?f?printf|puts|putchar|perror)": "may block a shard, count it or use base/log.h",
    r"pthread_(mutex|rwlock|spin|cond)_\w+": "makes shards wait, send a message",
    r"(u|nano)?sleep": "stops a shard, use base/timers.h",
}
WORDS = {r"\b(FIXME|XXX|HACK)\b": "leftover {}, write `TODO(who): condition for removal`",
         r"\bTODO\b(?!\([^()\s]+\): \S)": "{} without a condition, write "
                                          "`TODO(who): condition for removal`"}
FOLDERS = ["base", "storage", "hw", "dataplane", "control", "client", "bench", "tests"]
TEXT = {".c", ".h", ".def", ".msg", ".py", ".md", ".sh", ".build", ".java", ".js", ".txt"}
# Of tables and scripts.  Lines of C are clang-format's, which leaves a long string whole.
COLUMNS = 100
MEASURED = (".def", ".build", ".sh", "dev", "run", "tidy.py")
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def without_comments(text):
    """The code alone, every line where it was."""
    return NOT_CODE.sub(lambda found: " " + "\n" * found.group().count("\n"), text)


def nearest(table, path):
    """The entry of the innermost folder around `path` that the table has."""
    folder = os.path.dirname(path)
    while folder and folder not in table:
        folder = os.path.dirname(folder)
    return table.get(folder, [])


def inside(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def check_includes(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
        if not found:
            continue
        name = found.group(2)
        if found.group(1) == "<":
            if any(name.startswith(start) for start in nearest(FOREIGN, path)):
                yield number, f"<{name}> has no place in {os.path.dirname(path)}/, go through " \
                              "an interface that a higher folder implements"
            continue
        where = GENERATED[name] + "/" + name if name in GENERATED else name
        if not inside(where, FOLDERS):
            yield number, f'"{name}" is not a path from the root, write the folder before it'
        elif not inside(where, nearest(EDGES, path)):
            yield number, f'{os.path.dirname(path)}/ may not include "{name}", move what is ' \
                          "shared down or pass a function pointer or a message"
        elif name.endswith("_internal.h") and path.split("/")[0] not in (
                name.split("/")[0], "tests"):
            yield number, f'"{name}" is private to its folder, use the public header'


def check_banned(path, text):
    code = without_comments(text)
    if path == "base/banned.h":
        return
    tables = [BANNED] + ([BANNED_IN_DATAPLANE] if path.startswith("dataplane/") else [])
    for table in tables:
        for pattern, why in table.items():
            for found in re.finditer(rf"(?<![\w.>])({pattern})\s*\(", code):
                yield code.count("\n", 0, found.start()) + 1, f"{found.group(1)} {why}"


def check_text(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip():
            yield number, "space at the end of the line, remove it"
        if path.endswith(MEASURED) and len(line.expandtabs(8)) > COLUMNS:
            yield number, f"longer than {COLUMNS} columns, break it"
        if path not in ("tests/tidy.py", "tests/tidy_test.py"):
            for pattern, what in WORDS.items():
                found = re.search(pattern, line)
                if found:
                    yield number, what.format(found.group())
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end, add it"


def check_file(root, path):
    text = (root / path).read_text(encoding="utf-8")
    yield from check_text(path, text)
    if path.endswith((".c", ".h", ".def")):
        yield from check_includes(path, text)
        yield from check_banned(path, text)
    if path.endswith(".h") and "#pragma once" not in text:
        yield 1, "header without #pragma once, add it"


def check_tree(root, paths):
    for folder in FOLDERS:
        readme = f"{folder}/README.md"
        if readme not in paths and any(inside(path, [folder]) for path in paths):
            yield readme, 1, "is missing, say what the folder promises, its main types and how " \
                             "to test it"
    built = "".join((root / path).read_text() for path in paths
                    if path.endswith("meson.build")
                    or re.match(r"tests/(broker|campaigns|powercut)/.*\.py", path))
    for path in paths:
        # A build file (or a script that compiles a helper) names it, or its noun in a list:
        # 'catalog' for catalog_test.c.
        found = re.match(r"(.*?)((_test|_fuzz)?\.c)$", os.path.basename(path))
        if found and not re.search(rf"[/'\"]{found[1]}({re.escape(found[2])})?['\"]", built):
            yield path, 1, "is in no meson.build, add it or delete it"


def untested(paths):
    tests = {os.path.basename(path) for path in paths if inside(path, ["tests"])}
    for path in paths:
        if path.endswith(".c") and not inside(path, ["tests", "bench"]):
            noun = os.path.basename(path)[:-2]
            if f"{noun}_test.c" not in tests:
                yield path


def compile_flags(build):
    """How each folder's files are compiled, those with the most flags: a library of few
    dependencies may lie beside one of many. {folder: [compiler, flag, ...]}."""
    flags = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        kept = [word for word in words if re.match(r"-(I|isystem|D|f|std|m|W)", word)]
        compiler = words[1] if os.path.basename(words[0]) == "ccache" else words[0]
        folder = os.path.dirname(entry["file"])
        if len(kept) >= len(flags.get(folder, [])):
            flags[folder] = [compiler] + kept
    return flags


def check_headers(root, build, paths):
    flags = {os.path.relpath(os.path.join(build, folder), root): words
             for folder, words in compile_flags(build).items()}
    # A folder of headers only is compiled like the broadest one.
    widest = flags.get("control") or flags.get("dataplane") or next(iter(flags.values()))

    def alone(path):
        words = nearest(flags, path) or widest
        command = words + ["-Wno-unused", "-fsyntax-only", "-x", "c", "-I", str(root), "-"]
        run = subprocess.run(command, input=f'#include "{path}"\n', cwd=build,
                             capture_output=True, text=True)
        error = next((line for line in run.stderr.splitlines() if "error:" in line), "")
        return path, run.returncode, error.split("error:")[-1].strip()

    headers = [path for path in paths if path.endswith(".h")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, code, error in pool.map(alone, headers):
            if code:
                yield path, 1, f"does not compile alone ({error}), include or declare what it uses"


def tracked(root):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root,
                            capture_output=True, text=True)
    if listed.returncode == 0:
        paths = listed.stdout.split("\n")
    else:  # an unpacked archive
        paths = [str(path.relative_to(root)) for path in root.rglob("*")
                 if not re.match(r"build|\.", str(path.relative_to(root)))]
    return sorted(path for path in paths if path and (root / path).is_file())


def findings(root, build):
    paths = tracked(root)
    for path in paths:
        if pathlib.Path(path).suffix in TEXT or path in ("dev", ".ci/run"):
            for number, what in check_file(root, path):
                yield path, number, what
    yield from check_tree(root, paths)
    if build:
        yield from check_headers(root, build, paths)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent)
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("--untested", action="store_true")
    options = parser.parse_args()
    root = options.root.resolve()
    found = list(findings(root, options.build and options.build.resolve()))
    for path, number, what in found:
        print(f"{path}:{number}: {what}")
    if options.untested:
        for path in untested(tracked(root)):
            print(f"note: {path} has no test of its own")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
