"""Benchmarks of messages: rendered and handed over by SMTP, out of the outbox, through outages and a killed worker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks import ground
from benchmarks.figures import Figure, Wrong, forget_peak, rss_mb
from recoup.channels.languages import LANGUAGES
from recoup.channels.port import Mail, Sent
from recoup.channels.render import render
from recoup.channels.samples import SHOWN, sample_facts
from recoup.channels.smtp import SmtpDoor
from recoup.channels.smtp_settings import CONNECTIONS, parse_smtp_url
from recoup.engine import receive
from recoup.engine.clock import Clock
from recoup.engine.house import House
from recoup.engine.speak import speak
from recoup.store import boxes, customers
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import outbox
from recoup.worker.pulse import Pulse

GOAL = 700
DIRECTLY = ("soft_notice", "generic_soft")
OUTAGE = timedelta(hours=1)
WORKERS = 2
WARM = 200
"""So many messages leave before anything is measured."""


class _Sink(asyncio.Protocol):
    """Enough of SMTP to take letters; the Message-ID of each goes to the log as soon as it is taken."""

    def __init__(self, log: Path) -> None:
        self.log = log.open("ab", buffering=0)
        self.rest = b""
        self.in_letter = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while True:
            end = b"\r\n.\r\n" if self.in_letter else b"\r\n"
            piece, found, rest = self.rest.partition(end)
            if not found:
                return
            self.rest = rest
            self.letter(piece) if self.in_letter else self.command(piece)

    def letter(self, raw: bytes) -> None:
        """One letter: written down first, then answered for."""
        head = raw[: raw.index(b"\r\n\r\n")]
        ref = next(line for line in head.split(b"\r\n") if line.startswith(b"Message-ID:"))
        self.log.write(ref + b"\n")
        self.in_letter = False
        self.transport.write(b"250 taken\r\n")

    def command(self, line: bytes) -> None:
        """One command."""
        verb = line[:4].upper()
        if verb == b"DATA":
            self.in_letter = True
            self.transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self.transport.write(b"221 bye\r\n")
            self.transport.close()
        else:
            self.transport.write(
                b"250-sink\r\n250-PIPELINING\r\n250 SIZE 10000000\r\n" if verb == b"EHLO" else b"250 ok\r\n"
            )


async def _serve(port: int, log: Path) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Sink(log), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Sink:
    """A mail server in a process of its own, which can be stopped and begun again at the same port."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Lets it answer."""
        command = [sys.executable, "-m", "benchmarks.post", "sink", str(self.port), str(self.log)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        """Nobody answers any more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def taken(self) -> Counter[bytes]:
        """How often each letter was taken."""
        return Counter(self.log.read_bytes().splitlines()) if self.log.exists() else Counter()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?from=billing@acme.example&starttls=no"


@contextmanager
def sink() -> Iterator[Sink]:
    """A mail server that is there, until the block ends."""
    with TemporaryDirectory(prefix="recoup-post-") as home:
        made = Sink(Path(home) / "letters")
        made.begin()
        try:
            yield made
        finally:
            made.stop()


def rendered(kind: str, n: int) -> Iterator[Figure]:
    """Every message in every language in turn, to somebody else each about another sum, rendered and handed over on one
    connection."""
    now = datetime(2026, 11, 4, 9, tzinfo=UTC)
    samples = [
        (step, sample_facts(step, language, cause, now, merchant="Acme", support="help@acme.example",
                            pay_url="https://pay.acme.example/pay/x", preferences_url="https://pay.acme.example/u/x"))
        for language in LANGUAGES for step, cause in SHOWN
    ]  # fmt: skip

    def letters(count: int, prefix: str) -> Iterator[Mail]:
        for number in range(count):
            step, facts = samples[number % len(samples)]
            facts = msgspec.structs.replace(
                facts, customer=f"Anna Example {number}", amount_minor=1_00 + number,
                pay_url=f"https://pay.acme.example/pay/{number:040d}",
                preferences_url=f"https://pay.acme.example/u/{number:040d}", reference=f"in_{number}",
            )  # fmt: skip
            words = render(step, facts)
            yield Mail(
                to=f"someone{number}@customer.example", subject=words.subject, html=words.html, text=words.text,
                once_key=f"{prefix}/{number}", from_name="Acme", reply_to="help@acme.example",
                preferences_url=facts.preferences_url, written_at=now,
            )  # fmt: skip

    with sink() as server:
        door = SmtpDoor(parse_smtp_url(server.url))
        _all_sent(door, letters(len(samples), "warm"))
        ground.settle_memory()
        forget_peak()
        before, cpu, start = rss_mb(), time.process_time(), time.perf_counter()
        _all_sent(door, letters(n, "letter"))
        spent = time.perf_counter() - start
        grown, own = rss_mb() - before, 1e6 * (time.process_time() - cpu) / n
        taken = server.taken()
        if len(taken) != n + len(samples) or max(taken.values()) > 1:
            raise Wrong(f"{len(taken)} letters arrived of {n + len(samples)}")
    yield Figure(
        what="letters rendered and handed over by SMTP", database=kind, n=n, ours=n / spent, unit="/s", goal=GOAL,
        cpu_us=own,
        rss_mb=rss_mb(), note=f"memory grew by {grown:.1f} MB",
    )  # fmt: skip


def _all_sent(door: SmtpDoor, letters: Iterator[Mail]) -> None:
    for result in door.send_batch(letters):
        if not isinstance(result, Sent):
            raise Wrong(f"a letter was not taken: {result}")


def sent(kind: str, n: int) -> Iterator[Figure]:
    """Messages out of the outbox: checked, the biller asked in this process, rendered, handed over, written down."""
    with ground.database(kind) as url, sink() as server, ground.house_on(url, server.url) as house:
        merchant = queued(house, n)
        speak(house, merchant, limit=WARM)
        ground.settle_memory()
        forget_peak()
        before, meter, start = rss_mb(), ground.Meter(url), time.perf_counter()
        while speak(house, merchant, limit=500):
            pass
        spent = time.perf_counter() - start
        grown, (own, server_cpu) = rss_mb() - before, meter.a_piece(n - WARM)
        _complete(house, server.taken(), n, duplicates=0)
    yield Figure(
        what="messages sent from the outbox", database=kind, n=n, ours=(n - WARM) / spent, unit="/s", cpu_us=own,
        server_cpu_us=server_cpu, rss_mb=rss_mb(), note=f"memory grew by {grown:.1f} MB",
    )  # fmt: skip


def queued(house: House, n: int) -> Merchant:
    """A merchant with `n` open cases, and one message that waits for each."""
    ground.with_instant_provider(house)
    merchant = ground.add_merchant(house)
    ground.open_cases(house, merchant, n, due=False)
    now = house.clock.now()
    people = [{"id": f"cus_{i}", "email": f"someone{i}@customer.example", "locale": "de"} for i in range(n)]
    items = [
        boxes.OutItem(
            merchant_id=merchant.id, once_key=f"c_{i}:soft_notice", kind="message", case_id=f"c_{i}", customer_id=f"cus_{i}",
            step="soft_notice", channel="email", created_at=now, next_try_at=now,
        )
        for i in range(n)
    ]  # fmt: skip
    with writing(house.db) as tx:
        customers.learn(tx, merchant.id, people, now)
        boxes.put(tx, items)
    return merchant


def _complete(house: House, taken: Counter[bytes], n: int, *, duplicates: int) -> None:
    """Every letter arrived, at most so many of them twice, and the outbox says so. Raises `Wrong`."""
    with reading(house.db) as tx:
        done = tx.execute(outbox.select().where(outbox.c.status == "sent")).all()
    twice = sum(count - 1 for count in taken.values())
    if len(taken) != n or len(done) != n or twice > duplicates:
        raise Wrong(
            f"{len(taken)} of {n} letters arrived, {twice} of them twice, {len(done)} written down as sent"
        )


def killed(kind: str, n: int) -> Iterator[Figure]:
    """A worker killed after a quarter was taken, and another that does the rest: all there, at most one a connection twice."""
    with ground.database(kind) as url, sink() as server:
        with ground.house_on(url, server.url) as house:
            queued(house, n)
        command = [sys.executable, "-m", "benchmarks.post", "speak", url, server.url]
        first = subprocess.Popen(command)
        while len(server.taken()) < n // 4:
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        at_death = len(server.taken())
        start = time.perf_counter()
        subprocess.run(command, check=True)
        spent = time.perf_counter() - start
        taken = server.taken()
        with ground.house_on(url, server.url) as house:
            _complete(house, taken, n, duplicates=CONNECTIONS)
    twice = sum(count - 1 for count in taken.values())
    yield Figure(
        what="the rest after a worker was killed", database=kind, n=n, ours=(n - at_death) / spent, unit="/s",
        note=f"killed after {at_death}; {twice} twice, none lost",
    )  # fmt: skip


def several(kind: str, n: int) -> Iterator[Figure]:
    """Workers in processes of their own carry one outbox out together: every letter once."""
    with ground.database(kind) as url, sink() as server:
        with ground.house_on(url, server.url) as house:
            queued(house, n)
        command = [sys.executable, "-m", "benchmarks.post", "work", url, server.url]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(WORKERS)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()  # it is ready
        start = time.perf_counter()
        shares = _let_go(workers)
        spent = time.perf_counter() - start
        with ground.house_on(url, server.url) as house:
            _complete(house, server.taken(), n, duplicates=0)
    yield Figure(
        what=f"sent from one outbox by {WORKERS} workers", database=kind, n=n, ours=n / spent, unit="/s",
        note=f"none twice; the workers took {' and '.join(f'{share:,}' for share in shares)}",
    )  # fmt: skip


def _let_go(workers: list[subprocess.Popen[str]]) -> list[int]:
    """All begin at once; how many items each has taken when there were no more."""
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return [int(worker.communicate()[0]) for worker in workers]


def outage(kind: str, n: int) -> Iterator[Figure]:
    """The mail server is away for an hour of the house's clock: none lost, none twice, all sent once it is back."""
    with ground.database(kind) as url, sink() as server, ground.house_on(url, server.url) as house:
        merchant = queued(house, n)
        house.clock = clock = _Later(house.clock)
        server.stop()
        meter = ground.Meter(url)
        for _ in range(int(OUTAGE / timedelta(minutes=1))):
            while speak(house, merchant):  # as a worker does
                pass
            clock.ahead += timedelta(minutes=1)
        waited, waited_server = meter.a_piece(n)
        if server.taken():
            raise Wrong("letters arrived while nobody was there")
        server.begin()
        meter, start = ground.Meter(url), time.perf_counter()
        for _ in range(20):
            while speak(house, merchant):
                pass
            clock.ahead += timedelta(minutes=1)
        spent = time.perf_counter() - start
        own, server_cpu = meter.a_piece(n)
        _complete(house, server.taken(), n, duplicates=0)
    cost = f"{waited:.0f} us" + (f" and {waited_server:.0f} us of the server" if waited_server else "")
    yield Figure(
        what="caught up after an hour without a mail server", database=kind, n=n, ours=n / spent, unit="/s", cpu_us=own,
        server_cpu_us=server_cpu,
        note=f"none lost, none twice; the hour cost {cost} of CPU a message",
    )  # fmt: skip


class _Later:
    """The clock of a house, moved ahead."""

    def __init__(self, real: Clock) -> None:
        self.real = real
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return self.real.now() + self.ahead

    def steady(self) -> float:
        return self.real.steady() + self.ahead.total_seconds()


def _speak_all(url: str, smtp: str) -> None:
    with ground.house_on(url, smtp) as house:
        ground.with_instant_provider(house)
        merchant = receive.merchant_named(house, "acme")
        while speak(house, merchant, limit=500):
            pass


def _work(url: str, smtp: str) -> None:
    """A worker that begins when it is told to, and says in the end how many items it has taken."""
    with ground.house_on(url, smtp) as house:
        ground.with_instant_provider(house)
        merchant = receive.merchant_named(house, "acme")
        pulse = Pulse(house)
        pulse.start()
        print("ready", flush=True)
        sys.stdin.readline()
        took = 0
        while found := speak(house, merchant):
            took += found
        print(took, flush=True)
        pulse.stop()


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        asyncio.run(_serve(int(sys.argv[2]), Path(sys.argv[3])))
    elif sys.argv[1] == "work":
        _work(sys.argv[2], sys.argv[3])
    else:
        _speak_all(sys.argv[2], sys.argv[3])
