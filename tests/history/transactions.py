#!/usr/bin/env python3
"""Records are made from others in transactions, while the broker and clients are killed.

    tests/history/transactions.py [--library NAME] [--kills N] [--seed N] [--folder DIR]

Members of a group, of one library and with each of its protocols in turn, read what an idempotent
producer sends, and others read what they commit.  They and the broker meet kill -9 at moments that
the seed gives, while a proxy sends requests to produce twice and late; a transactional id is taken
over from who is dead, who stands still and who lives.  When the faults have ended all has to be
processed, and then the checker decides: exactly once.  It ends with 0 when the history is right.
SLUICED names the program.
"""
import argparse
import collections
import pathlib
import random
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "broker"), str(TESTS / "clients")]
import group_libraries as libraries  # noqa: E402
import harness  # noqa: E402
from fault_proxy import FaultProxy, Faults  # noqa: E402
from group_world import SETTINGS  # noqa: E402
from transaction_world import PROTOCOLS, TransactionWorld  # noqa: E402

SLOTS = 2
# Late copies come when their transaction has ended.  What a client was cut off from and comes to the
# broker later is left out: without KIP-890 it may become part of the next transaction.
FAULTS = Faults(twice=0.3, late=0.5, delay=0.02, behind=0.02, slow_answer=0.02, mute=0.001,
                part=0.002, answer_part=0.002)
RATE = 500
# Logs roll, and what is stored of groups and transactions is written anew, again and again.
SMALL = {"log.segment.bytes": "1MiB", "offsets.topic.rewrite.bytes": "32KiB",
         "transaction.state.log.num.partitions": "3",
         "transaction.state.log.rewrite.bytes": "16KiB"}
STEP_SECONDS = (0.3, 2.5)
BROKER_DOWN_SECONDS = (0.0, 0.5)
SLEEP_SECONDS = (1.0, 6.0)
FAULTS_OF_PROCESSES = {"broker": 10, "member": 7, "second": 2, "sleeper": 2, "verifier": 1}  # odds
CALM_SECONDS = 15
FIRST_TRANSACTIONS = 3  # of each protocol before anything is killed


class Library:
    def __init__(self, transformer, verifier, protocols=tuple(PROTOCOLS)):
        self.transformer, self.verifier, self.protocols = transformer, verifier, protocols


LIBRARIES = {
    "confluent-kafka": Library(libraries.CONFLUENT_TRANSFORMER, libraries.CONFLUENT_VERIFIER),
    "java": Library(libraries.JAVA_TRANSFORMER, libraries.JAVA_VERIFIER),
    "franz-go": Library(libraries.FRANZ_GO_TRANSFORMER, libraries.CONFLUENT_VERIFIER,
                        ("range", "cooperative"))}


class Campaign:
    def __init__(self, world, library, seed):
        self.world, self.library = world, library
        self.chance = random.Random(seed)
        self.kills = collections.Counter()

    def run(self, kills, protocols):
        self.world.verify(self.library.verifier)
        self.world.producer("input", RATE)
        for index, protocol in enumerate(protocols):
            self.begin(protocol)
            for _ in range(kills * index // len(protocols), kills * (index + 1) // len(protocols)):
                self.world.rest(self.chance.uniform(*STEP_SECONDS))
                self.fault()
            self.world.wait_committed(FIRST_TRANSACTIONS)

    def begin(self, protocol):
        """The group is empty in between, and may change its protocol then."""
        self.world.leave_slots()
        for slot in range(SLOTS):
            self.world.transform(self.library.transformer, slot, protocol)
        self.world.wait_committed(FIRST_TRANSACTIONS)

    def fault(self):
        what = self.chance.choices(*zip(*FAULTS_OF_PROCESSES.items()))[0]
        slot = self.chance.randrange(SLOTS)
        print(f"{what} {'' if what in ('broker', 'verifier') else slot}", flush=True)
        self.kills[what] += 1
        getattr(self, what)(slot)

    def broker(self, _slot):
        self.world.kill_broker()
        time.sleep(self.chance.uniform(*BROKER_DOWN_SECONDS))
        self.world.start_broker()

    def member(self, slot):
        client = self.world.slots[slot]
        self.world.kill(client)
        self.world.transform(client.library, slot, self.world.protocol)

    def second(self, slot):
        """Another member takes the slot from one that lives, and some time later that is killed."""
        former = self.world.slots[slot]
        self.world.transform(former.library, slot, self.world.protocol)
        self.world.rest(self.chance.uniform(*STEP_SECONDS))
        self.world.kill(former)

    def sleeper(self, slot):
        """A member stands still for longer than its session, at times longer than its transaction
        may take, at times beside another that has its slot; then it goes on and is killed."""
        former = self.world.slots[slot]
        former.pause()
        if self.chance.random() < 0.5:
            self.world.transform(former.library, slot, self.world.protocol)
        self.world.rest(self.chance.uniform(*SLEEP_SECONDS))
        former.resume()
        self.world.rest(self.chance.uniform(*STEP_SECONDS))
        self.world.kill(former)
        if self.world.slots[slot] is former:
            self.world.transform(former.library, slot, self.world.protocol)

    def verifier(self, _slot):
        """The next one begins at the beginning."""
        self.world.kill(self.world.verifiers.pop())
        self.world.verify(self.library.verifier)


def run(folder, library, kills, seed, protocols=None, calm_seconds=CALM_SECONDS):
    """Raises AssertionError for a history that is wrong, or for one who ended by himself."""
    print(f"transactions.py --library {library} --kills {kills} --seed {seed}", flush=True)
    begun = time.monotonic()
    chosen = LIBRARIES[library]
    port = harness.free_port()
    with FaultProxy("127.0.0.1", port, seed, FAULTS) as proxy, harness.Broker(port=port, settings={
            **SETTINGS, **SMALL, "advertised.listen": proxy.address}) as broker:
        with TransactionWorld(folder, broker, seed=seed) as world:
            campaign = Campaign(world, chosen, seed)
            campaign.run(kills, protocols or chosen.protocols)
            proxy.faults = Faults()
            world.calm(calm_seconds)
            history = world.judge()
        print(proxy.report(), flush=True)
    ends = collections.Counter(each.outcome for each in history.transactions)
    records = sum(len(each.records) for each in history.transactions if each.is_committed())
    print(f"{library}: {ends['committed']} transactions committed, {ends['aborted']} aborted, "
          f"{ends['unknown']} unknown; {records} records committed; kill -9 of "
          + ", ".join(f"{what} {count}" for what, count in sorted(campaign.kills.items()))
          + f"; {time.monotonic() - begun:.0f} s", flush=True)
    return history


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", choices=sorted(LIBRARIES), default="confluent-kafka")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--folder", help="for the logs, which are kept")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="transactions-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(folder, options.library, options.kills, options.seed)
    except AssertionError as error:
        print(f"{error}\nseed {options.seed}, logs in {folder}")
        return 1
    print(f"right; logs in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
