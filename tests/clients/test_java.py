"""The Java clients, as they come: each scenario of tests/clients/java runs in a process of its own.

A scenario checks what it is told by the clients; here it must end well, and its clients must have
nothing to warn of.
"""
import re
import subprocess

import harness
import pytest
from java_jars import JAVA, SOURCES

SCENARIO = re.compile(r'@Scenario(?:\(says = "([^"]*)"\))?\s+static void (\w+)\(')
SCENARIOS = [(f"{source.stem}.{name}", says) for source in sorted(SOURCES.glob("*.java"))
             for says, name in SCENARIO.findall(source.read_text())]
SCENARIO_SECONDS = 90


@pytest.mark.parametrize("scenario, says", SCENARIOS, ids=[name for name, _ in SCENARIOS])
def test_scenario(broker, class_path, scenario, says):
    done = subprocess.run(
        [*JAVA, class_path, "Scenarios", broker.address, scenario],
        capture_output=True, text=True, timeout=SCENARIO_SECONDS, check=False)
    complaints = [line for line in done.stderr.splitlines() if not says or not re.search(says, line)]
    assert not complaints and done.returncode == 0, f"{done.returncode}\n{done.stderr}"
    assert done.stdout == f"passed {scenario}\n"


def test_default_producer_outlives_kill_minus_9(class_path, topic):
    with harness.Broker() as broker:
        client = subprocess.Popen([*JAVA, class_path, "Outlive", broker.address, topic, "30000"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with client:
            try:
                for line in client.stdout:
                    if line.strip() in ("acknowledged 5000", "acknowledged 15000"):
                        broker.check_alive()
                        broker.kill()
                        broker.start()
                said = client.stderr.read()
                code = client.wait(SCENARIO_SECONDS)
            finally:
                client.kill()
        assert (code, line) == (0, "passed\n"), said
        assert broker.starts == 3
        # Of the broken connections it may complain, and of what was under way on them.
        complaints = [text for text in said.splitlines()
                      if not re.search("disconnect|could not be established|NETWORK_EXCEPTION",
                                       text, re.I)]
        assert complaints == []
