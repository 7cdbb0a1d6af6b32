"""A TCP proxy before a broker that does to produce requests what bad networks and retries do.

    with FaultProxy("127.0.0.1", broker_port, seed=1, faults=Faults(twice=0.5)) as proxy:
        ...  # clients connect to proxy.address, which the broker advertises too
        proxy.faults = Faults()  # none from here on
    print(proxy.report())

It reads frames and the first three fields of a request's header, and changes no byte: so clients
come again through it only where `advertised.listen` of the broker is its address.

All faults are such as TCP, middle boxes and clients that send again can cause.  So what is not cut
off stays in order on its connection, and behind an answer that is lost all others are lost.  A late
copy is sent only of what the broker has acknowledged: of a producer whose first batch it has not
stored it takes any sequence, as Kafka does, so that a copy of the second alone would be stored; but
no client sends it without having sent the first before.

What happens to a request is drawn from the seed, the connection's number and the request's number
on it; when it happens is up to the machine.
"""
import asyncio
import collections
import dataclasses
import random
import struct
import threading

import harness  # noqa: F401  (where `messages` is)
from messages import response_body

PRODUCE = 0
REQUEST_HEADER = struct.Struct(">hhi")  # behind the size: key, version, correlation id
SIZE_BYTES = 4
BUFFER_BYTES = 1 << 20
END_SECONDS = 2  # for the answers to what a client has sent before it went
LATE_ANSWER_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Faults:
    """Probabilities for each produce request; of those in ONE_OF it meets one at most."""

    twice: float = 0  # sent again at once on the same connection; one of two answers is swallowed
    late: float = 0  # once acknowledged, sent again over another connection
    delay: float = 0  # and what follows on the connection
    behind: float = 0  # held until a request of another connection was passed on
    slow_answer: float = 0
    mute: float = 0  # no answer from here on; a while later the client is cut off
    linger: float = 0  # the client is cut off, what it had sent comes to the broker a while later
    part: float = 0  # the broker gets a part of the request, then both are cut off
    answer_part: float = 0  # the client gets a part of the answer, then both are cut off
    seconds: float = 0.3  # the longest while
    late_seconds: float = 2.0

    def draw(self, chance):
        """(twice, late, one of ONE_OF or None); takes as much of `chance` whatever it finds."""
        twice, late, point = chance.random(), chance.random(), chance.random()
        for kind in ONE_OF:
            point -= getattr(self, kind)
            if point < 0:
                return twice < self.twice, late < self.late, kind
        return twice < self.twice, late < self.late, None


ONE_OF = ("delay", "behind", "slow_answer", "mute", "linger", "part", "answer_part")


class Cut(Exception):
    """Both connections of a link end here."""


async def read_frame(reader):
    """The next frame with its size; None at the end, also within a frame."""
    try:
        size = await reader.readexactly(SIZE_BYTES)
        return size + await reader.readexactly(int.from_bytes(size, "big"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def error_codes(version, answer):
    """Of the partitions of an answer to Produce."""
    body = response_body("Produce", version, answer[SIZE_BYTES + 4 :])
    return sorted({each["error_code"] for topic in body["responses"]
                   for each in topic["partition_responses"]})


@dataclasses.dataclass
class Asked:
    """A produce request that was passed on, until its answers have come."""

    frame: bytes
    version: int
    kind: str | None  # of ONE_OF
    late: bool
    copies: int
    passed: int  # which of the copies' answers the client is given
    answers: int = 0


class Link:
    """A client's connection, and the one to the broker for it."""

    def __init__(self, proxy, number, from_client, to_client):
        self.proxy = proxy
        self.chance = random.Random(f"{proxy.seed}/{number}")
        self.from_client, self.to_client = from_client, to_client
        self.from_broker = self.to_broker = None
        self.muted = False
        self.asked = {}  # by correlation id

    async def run(self):
        try:
            self.from_broker, self.to_broker = await self.proxy.connect()
        except OSError:
            self.to_client.transport.abort()
            return
        requests = asyncio.ensure_future(self.requests())
        answers = asyncio.ensure_future(self.answers())
        try:
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            if requests.done() and not requests.exception():
                await asyncio.wait({answers}, timeout=END_SECONDS)
        finally:
            requests.cancel()
            answers.cancel()
            ended = await asyncio.gather(requests, answers, return_exceptions=True)
            self.to_client.transport.abort()
            self.to_broker.transport.abort()
        for each in ended:
            if not isinstance(each, (type(None), Cut, ConnectionError, asyncio.CancelledError)):
                raise each

    async def rest(self):
        await asyncio.sleep(self.chance.uniform(0, self.proxy.faults.seconds))

    # ---- to the broker ----

    async def requests(self):
        while (frame := await read_frame(self.from_client)) is not None:
            key, version, correlation = REQUEST_HEADER.unpack_from(frame, SIZE_BYTES)
            if key == PRODUCE:
                await self.produce(frame, version, correlation)
            else:
                await self.send(frame)
        self.to_broker.write_eof()

    async def send(self, frame):
        self.to_broker.write(frame)
        await self.to_broker.drain()

    async def produce(self, frame, version, correlation):
        twice, late, kind = self.proxy.faults.draw(self.chance)
        self.proxy.count(twice, kind)
        self.asked[correlation] = Asked(frame, version, kind, late, 1 + twice,
                                        self.chance.randrange(1 + twice))
        if kind == "delay":
            await self.rest()
        elif kind == "behind":
            await self.proxy.another_passes(self)
        elif kind == "mute":
            self.mute()
        elif kind == "linger":
            self.muted = True
            self.to_client.transport.abort()
            await self.rest()
        elif kind == "part":
            await self.send(frame[: self.chance.randrange(len(frame))])
            raise Cut
        for _ in range(1 + twice):
            await self.send(frame)
        self.proxy.passes(self)

    def mute(self):
        async def cut_off():
            await self.rest()
            self.to_client.transport.abort()

        self.muted = True
        self.proxy.spawn(cut_off())

    # ---- to the client ----

    async def answers(self):
        while (frame := await read_frame(self.from_broker)) is not None:
            correlation = int.from_bytes(frame[SIZE_BYTES : SIZE_BYTES + 4], "big", signed=True)
            asked = self.asked.get(correlation)
            if asked is None:
                await self.answer(frame)
            else:
                await self.answer_produce(asked, frame)
                if asked.answers == asked.copies:
                    del self.asked[correlation]

    async def answer(self, frame):
        if not self.muted:
            self.to_client.write(frame)
            await self.to_client.drain()

    async def answer_produce(self, asked, frame):
        asked.answers += 1
        if asked.late and asked.answers == 1 and error_codes(asked.version, frame) == [0]:
            seconds = self.chance.uniform(0, self.proxy.faults.late_seconds)
            self.proxy.spawn(self.proxy.send_late(asked, seconds))
        if asked.answers != asked.passed + 1:
            return
        if asked.kind == "slow_answer":
            await self.rest()
        elif asked.kind == "answer_part":
            await self.answer(frame[: self.chance.randrange(len(frame))])
            raise Cut
        await self.answer(frame)


class FaultProxy:
    """Runs on a thread of its own.  `faults` may be set at any time."""

    def __init__(self, host, port, seed, faults=Faults()):
        self.target = host, port
        self.seed, self.faults = seed, faults
        self.counts = collections.Counter()
        self.late_answers = collections.Counter()  # by error code
        self.errors = []
        self.links = 0
        self.tasks = set()
        self.waiting = {}  # links that let another go first: their futures
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self):
        self.thread.start()
        self.server = self.call(asyncio.start_server(self.accept, "127.0.0.1", 0,
                                                     limit=BUFFER_BYTES))
        self.address = "{}:{}".format(*self.server.sockets[0].getsockname())
        return self

    def __exit__(self, kind, *_):
        self.call(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        if kind is None and self.errors:
            raise self.errors[0]

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def report(self):
        """What happened how often, and what the broker answered to late copies."""
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items()))
        late = ", ".join(f"error {code} {count}" for code, count in
                         sorted(self.late_answers.items()))
        return (f"seed {self.seed}, {self.links} connections: {counts}; "
                f"late copies: {late or 'none'}")

    # ---- the rest runs in the loop ----

    async def end(self):
        self.server.close()
        tasks = list(self.tasks)
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.errors.append(task.exception())

    def accept(self, reader, writer):
        self.links += 1
        self.spawn(Link(self, self.links, reader, writer).run())

    def connect(self):
        return asyncio.open_connection(*self.target, limit=BUFFER_BYTES)

    def count(self, twice, kind):
        self.counts["requests"] += 1
        self.counts["twice"] += twice
        if kind:
            self.counts[kind] += 1

    def passes(self, link):
        """A produce request of this link went to the broker."""
        for other, future in self.waiting.items():
            if other is not link and not future.done():
                future.set_result(None)

    async def another_passes(self, link):
        """Waits for that, for a while."""
        self.waiting[link] = self.loop.create_future()
        await asyncio.wait({self.waiting[link]}, timeout=self.faults.seconds)
        del self.waiting[link]

    async def send_late(self, asked, seconds):
        await asyncio.sleep(seconds)
        try:
            reader, writer = await self.connect()
        except OSError:
            return
        try:
            writer.write(asked.frame)
            answer = await asyncio.wait_for(read_frame(reader), LATE_ANSWER_SECONDS)
        except (ConnectionError, asyncio.TimeoutError):
            answer = None
        finally:
            writer.transport.abort()
        if answer is not None:
            self.late_answers.update(error_codes(asked.version, answer))
