"""Where the jars of the Java clients are, the programs that use them, and how those are run."""
import os
import pathlib

import harness

SOURCES = pathlib.Path(__file__).parent / "java"
JAVA = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]


def jars():
    """The folder that `./dev deps` filled."""
    named = os.environ.get("KAFKA_CLIENTS_JAR")
    folder = pathlib.Path(named).parent if named else harness.ROOT / ".cache/java"
    assert list(folder.glob("kafka-clients-*.jar")), f"no kafka-clients in {folder}: ./dev deps"
    return folder
