"""A rule that was broken, in one sentence, and the few events that prove it."""

RULES = {1: "lost", 2: "changed", 3: "offsets", 4: "order", 5: "twice", 6: "isolation",
         7: "atomicity", 8: "ownership", 9: "commits", 10: "liveness"}


class Violation:
    def __init__(self, rule, text, *proof):
        self.rule, self.text, self.proof = rule, text, [each for each in proof if each]

    def __str__(self):
        lines = [f"rule {self.rule} ({RULES[self.rule]}): {self.text}"]
        return "\n    ".join(lines + [each.text() for each in self.proof])
