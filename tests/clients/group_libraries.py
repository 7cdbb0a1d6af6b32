"""The drivers of members, each with a library of its own: how to start them, what they can."""
import atexit
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import harness
import pytest
from java_jars import jars

HERE = pathlib.Path(__file__).parent
MEMBERS = HERE / "members"
LONG = "SLUICE_LONG" in os.environ


class Library:
    """`static`: it knows instance ids.  `commits`: it commits what it has shown, and says so."""

    def __init__(self, name, command, static=False, commits=True, environment=None, **options):
        self.name, self._command = name, command
        self.static, self.commits = static, commits
        self._environment = environment or (lambda: {})
        self.options = options

    def command(self):
        """Skips the test where the library is not to be had."""
        return self._command()

    def there(self):
        try:
            self.command()
        except pytest.skip.Exception:
            return False
        return True

    def environment(self):
        return self._environment()

    def with_options(self, name, **options):
        return Library(name, self._command, self.static, self.commits, self._environment,
                       **{**self.options, **options})


def python(script, module):
    def command():
        pytest.importorskip(module, reason=f"no {module} in this Python")
        return [sys.executable, str(MEMBERS / script)]
    return command


_built = {}


def built(name, build):
    """The result of a build that is done once in a run of the tests."""
    if name not in _built:
        _built[name] = build()
    if isinstance(_built[name], str):
        pytest.skip(_built[name])
    return _built[name]


def scratch(name):
    folder = tempfile.mkdtemp(prefix=f"sluiced-{name}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder)


def build_java():
    if not shutil.which("javac"):
        return "no javac on this machine"
    classes = scratch("classes")
    sources = [HERE / "java" / name for name in
               ("GroupMember.java", "LoggedMember.java", "Transformer.java", "Verifier.java",
                "RecordProducer.java", "EventLog.java", "Support.java")]
    done = subprocess.run(["javac", "-Xlint:all,-try", "-Werror", "-proc:none", "-cp",
                           f"{jars()}/*", "-d", str(classes), *map(str, sources)],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return classes


def java(main):
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-Xshare:auto",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp",
            f"{built('java', build_java)}:{jars()}/*", main]


def build_go(name):
    """franz-go is not part of what `./dev` installs."""
    if not shutil.which("go"):
        return "no go on this machine"
    program = scratch("go") / name
    fetched = subprocess.run(["go", "mod", "download"], cwd=HERE / "go", capture_output=True,
                             text=True, timeout=120, check=False)
    if fetched.returncode:
        return f"franz-go cannot be fetched: {fetched.stderr[-200:]}"
    done = subprocess.run(["go", "build", "-o", str(program), f"./{name}"], cwd=HERE / "go",
                          capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return program


def go(name):
    return [str(built(f"go {name}", lambda: build_go(name)))]


def node():
    if not shutil.which("node"):
        pytest.skip("no node on this machine")
    return ["node", str(HERE / "node/group_member.js")]


def node_environment():
    modules = os.environ.get("NODE_PATH", harness.ROOT / ".cache/node/node_modules")
    return {"NODE_PATH": str(modules)}


def kcat():
    if not shutil.which("kcat"):
        pytest.skip("no kcat on this machine")
    return [sys.executable, str(MEMBERS / "kcat_member.py")]


CONFLUENT = Library("confluent-kafka", python("confluent_kafka_member.py", "confluent_kafka"),
                    static=True)
CONFLUENT_COOPERATIVE = CONFLUENT.with_options("confluent-kafka-cooperative",
                                               assignor="cooperative")
CONFLUENT_CONSUMER = CONFLUENT.with_options("confluent-kafka-consumer", protocol="consumer")
KAFKA_PYTHON = Library("kafka-python", python("kafka_python_member.py", "kafka"))
AIOKAFKA = Library("aiokafka", python("aiokafka_member.py", "aiokafka"), static=True)
KCAT = Library("kcat", kcat, static=True, commits=False, commit="none")
JAVA = Library("java", lambda: java("GroupMember"), static=True)
JAVA_COOPERATIVE = JAVA.with_options("java-cooperative", assignor="cooperative")
JAVA_CONSUMER = JAVA.with_options("java-consumer", protocol="consumer")
KAFKAJS = Library("kafkajs", node, environment=node_environment)
FRANZ_GO = Library("franz-go", lambda: go("member"), static=True)
FRANZ_GO_COOPERATIVE = FRANZ_GO.with_options("franz-go-cooperative", assignor="cooperative")

ALL = [CONFLUENT, CONFLUENT_COOPERATIVE, CONFLUENT_CONSUMER, KAFKA_PYTHON, AIOKAFKA, KCAT, JAVA,
       JAVA_COOPERATIVE, JAVA_CONSUMER, KAFKAJS, FRANZ_GO, FRANZ_GO_COOPERATIVE]
STATIC = [each for each in ALL if each.static and "cooperative" not in each.name]
if not LONG:
    STATIC = [CONFLUENT, JAVA_CONSUMER, AIOKAFKA]
# Those whose range assignors share a group, and that tell of their commits.
RANGE = [CONFLUENT, KAFKA_PYTHON, AIOKAFKA, JAVA, FRANZ_GO]

# Members that make records from others in transactions, with the options of transformer_parser in
# members/event_log.py.
CONFLUENT_TRANSFORMER = Library(
    "confluent-kafka", python("confluent_kafka_transformer.py", "confluent_kafka"))
JAVA_TRANSFORMER = Library("java", lambda: java("Transformer"))
FRANZ_GO_TRANSFORMER = Library("franz-go", lambda: go("transformer"))

# Readers, with the options of verifier_parser.
CONFLUENT_VERIFIER = Library(
    "confluent-kafka", python("confluent_kafka_verifier.py", "confluent_kafka"))
JAVA_VERIFIER = Library("java", lambda: java("Verifier"))

# Idempotent producers, or with message ids, with the options of members/producer.py.
CONFLUENT_PRODUCER = Library("confluent-kafka", python("producer.py", "confluent_kafka"))
JAVA_PRODUCER = Library("java", lambda: java("RecordProducer"))
FRANZ_GO_PRODUCER = Library("franz-go", lambda: go("producer"))
PRODUCERS = [CONFLUENT_PRODUCER, JAVA_PRODUCER, FRANZ_GO_PRODUCER]
