#!/usr/bin/env python3
"""Apache Kafka: one process that is broker and controller (KRaft), from Maven Central."""
import base64
import pathlib
import subprocess
import sys
import uuid

if not __package__:  # run as a command
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from peers import peer

POM = pathlib.Path(__file__).with_name("kafka_pom.xml")
HEAP = "1g"
# As Kafka's own start script has it.
JVM = (f"-Xms{HEAP}", f"-Xmx{HEAP}", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
       "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
       "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true",
       "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
API_VERSIONS = bytes.fromhex("0000000a" "0012" "0000" "00000007" "ffff")


def answers(port):
    """Whether a broker of Kafka's protocol answers ApiVersions."""
    answer = peer.exchange(port, API_VERSIONS, lambda answer: len(answer) >= 10)
    return answer[4:10] == bytes.fromhex("00000007" "0000")


def fetch(folder):
    peer.run_fetch([peer.program("mvn", "maven"), "-B", "-ntp", "-q", "-f", str(POM),
                    "dependency:copy-dependencies", "-DincludeScope=runtime",
                    f"-DoutputDirectory={folder}"])


class Kafka(peer.Peer):
    name = driver = "kafka"
    settings = (f"heap {HEAP} and G1 as in its own start script", "replication factor 1 throughout",
                "flush: log.flush.interval.messages=1",
                "some seconds of load before anything is measured, for the JVM's compiler")
    warm_seconds = 8

    def find(self):
        self.java = peer.program("java", "default-jre-headless")
        self.jars = peer.fetched("kafka", POM.read_text(), fetch)
        core = next(self.jars.glob("kafka_2.13-*.jar"), None)
        if not core:
            raise peer.Missing(f"no kafka_2.13 in {self.jars}")
        self.version = core.stem.removeprefix("kafka_2.13-")

    def properties(self):
        lines = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "listeners": f"PLAINTEXT://{peer.HOST}:{self.port},"
                         f"CONTROLLER://{peer.HOST}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@{peer.HOST}:{self.controller_port}",
            "log.dirs": self.folder / "data",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
        }
        if self.durability == "flush":
            lines["log.flush.interval.messages"] = 1
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def prepare(self):
        self.port, self.controller_port = peer.free_port(), peer.free_port()
        self.config = self.folder / "server.properties"
        self.config.write_text(self.properties(), encoding="utf-8")
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        with open(self.log, "w", encoding="utf-8") as log:
            subprocess.run([self.java, "-cp", f"{self.jars}/*", "kafka.tools.StorageTool",
                            "format", "--cluster-id", cluster, "--config", str(self.config)],
                           check=True, stdout=log, stderr=log, timeout=peer.START_SECONDS)

    def start(self):
        self.spawn([self.java, *JVM, "-cp", f"{self.jars}/*", "kafka.Kafka", self.config])

    def answered(self):
        return answers(self.port)

    @property
    def url(self):
        return f"{peer.HOST}:{self.port}"


if __name__ == "__main__":
    peer.command(Kafka)
