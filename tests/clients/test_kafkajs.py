"""KafkaJS: each scenario of tests/clients/node runs alone and warns of nothing."""
import os
import pathlib
import re
import subprocess

import harness
import pytest

SOURCE = pathlib.Path(__file__).parent / "node/scenarios.js"
SCENARIOS = re.findall(r"^\tasync (\w+)\(\) {$", SOURCE.read_text(), re.M)
SCENARIO_SECONDS = 60
# What a client has to say, in each line that it logs, of the errors that a scenario causes.
SAYS = {
    "record_near_the_limit_is_taken_and_one_over_it_refused": "too large|larger than",
    "topics_are_created_listed_described_grown_and_deleted": "Topic creation errors",
    # It begins the next while the one before is still being ended, is told so, and tries again.
    "transactions_are_delivered_if_they_were_committed": "another concurrent operation",
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(broker, scenario):
    modules = os.environ.get("NODE_PATH", harness.ROOT / ".cache/node/node_modules")
    done = subprocess.run(
        ["node", str(SOURCE), broker.address, scenario], capture_output=True, text=True,
        timeout=SCENARIO_SECONDS, check=False,
        env={**os.environ, "NODE_PATH": str(modules), "KAFKAJS_NO_PARTITIONER_WARNING": "1"})
    says = SAYS.get(scenario)
    complaints = [line for line in done.stderr.splitlines()
                  if not says or not re.search(says, line, re.I)]
    assert not complaints and done.returncode == 0, f"{done.returncode}\n{done.stderr}"
    assert done.stdout == f"passed {scenario}\n"
