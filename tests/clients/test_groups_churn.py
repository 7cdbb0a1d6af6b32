"""tests/history/churn.py for a minute in all; longer with SLUICED_CHURN_MINUTES."""
import os
import random
import sys

import harness

sys.path.insert(0, str(harness.ROOT / "tests/history"))
import churn  # noqa: E402

MINUTES = float(os.environ.get("SLUICED_CHURN_MINUTES", "0.7"))
SEED = int(os.environ.get("SLUICED_CHURN_SEED", random.randrange(1 << 31)))


def test_history_of_churning_groups_is_right(tmp_path):
    churn.run(tmp_path, MINUTES, SEED)
