"""Where the jars of the Java clients are."""
import os
import pathlib

import harness


def jars():
    """The folder that `./dev deps` filled."""
    named = os.environ.get("KAFKA_CLIENTS_JAR")
    folder = pathlib.Path(named).parent if named else harness.ROOT / ".cache/java"
    assert list(folder.glob("kafka-clients-*.jar")), f"no kafka-clients in {folder}: ./dev deps"
    return folder
