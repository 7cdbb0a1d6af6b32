"""The commands of a document in Markdown, as they stand there.

A fenced block is run when its language is `sh`.  Words behind the language say more:

    sh                  has to succeed
    sh background       keeps running until the document ends; the next block waits until what it
                        started says "ready"
    sh not-run=REASON   is not run here; REASON is one of NOT_RUN
    sh online           needs what is fetched from elsewhere, and is run before all others
    sh needs=PROGRAM    where there is no such program nothing of the document is run

A block of the language `text` right behind one of `sh` is what that prints; a line of "..." stands
for any number of lines, and "..." within a line for any text.
"""
import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Why a command is not run by a test, and what shows that it works instead.
NOT_RUN = {
    "needs-a-service-manager": "the package test runs the units' command lines",
    "needs-a-nic": "tests/rig has emulated ones",
    "changes-the-host": "tests do it to a folder that stands for the host",
    "installs-packages": "the package test does it in a root of its own",
    "takes-long": "a suite or a benchmark of its own",
    "needs-a-container-engine": "hw/package has the recipe's test",
    "other-software": "of another project, which is not installed here",
}

FENCE = re.compile(r"^```(?P<language>\w*)(?P<words>.*)$")


@dataclasses.dataclass
class Block:
    line: int
    text: str
    words: tuple
    expected: str | None = None

    @property
    def background(self):
        return "background" in self.words

    @property
    def online(self):
        return "online" in self.words

    @property
    def not_run(self):
        return self._word("not-run")

    @property
    def needs(self):
        return self._word("needs")

    def _word(self, name):
        return next((word.partition("=")[2] for word in self.words
                     if word.startswith(f"{name}=")), None)


def markdown():
    """Every Markdown file of the tree."""
    return [path for path in sorted(ROOT.rglob("*.md"))
            if not path.relative_to(ROOT).parts[0].startswith((".", "build", "node_modules"))]


def documents():
    """Those that have commands."""
    return [path for path in markdown() if blocks_of(path.read_text())]


def _fenced(text):
    """(line number, language, words, content, number of the line behind it) of each block."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        at += 1
        if not fence:
            continue
        begin = at
        while at < len(lines) and lines[at] != "```":
            at += 1
        at += 1
        yield begin, fence["language"], tuple(fence["words"].split()), lines[begin:at - 1], at


def blocks_of(text):
    blocks = []
    end_of_last = None
    for line, language, words, content, end in _fenced(text):
        if language == "sh":
            blocks.append(Block(line, "\n".join(content) + "\n", words))
            end_of_last = end
        elif language == "text" and end_of_last is not None:
            between = text.splitlines()[end_of_last:line - 1]
            if not any(between) and blocks[-1].expected is None:
                blocks[-1].expected = "\n".join(content)
            end_of_last = None
        else:
            end_of_last = None
    return blocks


def _pattern(line):
    return ".*".join(re.escape(part) for part in line.rstrip().split("..."))


def prints(expected, printed):
    """Whether `printed` is what the document says."""
    pattern = ""
    for line in expected.splitlines():
        pattern += "(?:.*\n)*" if line.strip() == "..." else _pattern(line) + "[ \t]*\n"
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n") is not None
