"""One seed gives one run: the same history, turns, time and digest, each time it is run."""
import argparse
import subprocess
import tempfile
import unittest
from pathlib import Path

SECONDS_MAX = 120
SEEDS = [1, 2, 3, 4, 3043]  # in the last one a request carries several topics


def course(program, seed, folder):
    """What a run prints, and its history."""
    history = Path(folder) / "history"
    done = subprocess.run([program, "--seed", str(seed), "--history", history], text=True,
                          capture_output=True, timeout=SECONDS_MAX)
    return done.returncode, done.stdout, history.read_bytes()


class ReplayTest(unittest.TestCase):
    program = None

    def test_a_seed_run_twice_gives_the_same_course_and_history(self):
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
                first = course(self.program, seed, one)
                self.assertIn("digest", first[1])
                self.assertEqual(first, course(self.program, seed, two), f"seed {seed}")

    def test_another_seed_gives_another_course(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertNotEqual(course(self.program, 1, folder)[1].split()[2:],
                                course(self.program, 2, folder)[1].split()[2:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    arguments, rest = parser.parse_known_args()
    ReplayTest.program = arguments.program
    unittest.main(argv=["replay_test.py", *rest])
