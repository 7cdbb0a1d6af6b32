"""How far a campaign is with a recording: printed as it goes, and kept beside it, so that one which was
interrupted goes on where it was."""

import json
import time

SHOWN_MAX = 10
TICK_SECONDS = 10


class Progress:
    def __init__(self, recording, options):
        self.path = recording / f"cuts-{options.seed}-{options.samples}.jsonl"
        self.done = set()  # points
        self.points = self.cuts = 0
        self.findings = []
        self.begun = self.told = time.monotonic()
        self.file = open(self.path, "a+", encoding="ascii")
        self.read()

    def read(self):
        """A last line that was cut in the middle goes, and its point is done again."""
        self.file.seek(0)
        text = self.file.read()
        whole = text[: text.rfind("\n") + 1]
        self.file.truncate(len(whole))
        for line in whole.splitlines():
            self.count(json.loads(line))
        if self.points:
            print(f"  {self.points} points were done before", flush=True)

    def close(self):
        self.file.close()

    def count(self, told):
        self.done.add(told["point"])
        self.points += 1
        self.cuts += told["cuts"]
        self.findings += map(list, told["findings"])

    def take(self, told):
        self.count(told)
        self.file.write(json.dumps(told) + "\n")
        self.file.flush()
        if len(self.findings) <= SHOWN_MAX:
            for point, variant, what in told["findings"]:
                print(f"  cut {point} {variant}: {what}", flush=True)
        now = time.monotonic()
        if now - self.told > TICK_SECONDS:
            self.told = now
            left = (now - self.begun) * (1 - told["share"]) / told["share"]
            print(
                f"  {told['share']:4.0%}: {self.cuts} cuts at {self.points} points, "
                f"{len(self.findings)} findings; {left:.0f} s left",
                flush=True,
            )
