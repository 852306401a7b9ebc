"""A storm: real worker processes killed with SIGKILL while answers are lost and debts are settled elsewhere; then the ledgers are compared."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from recoup.domain.case import CLOSED, Case, State
from recoup.domain.view import Attempt, CaseView, Customer, Debt, Method, Result, Trigger
from recoup.engine import receive
from recoup.settings import Settings
from recoup.wiring import assemble
from tests.diaries import books
from tests.fakes.merchant import Fault, Merchant
from tests.support.waiting import until

RECOUP = Path(sys.executable).with_name("recoup")
SECRET = "a secret of the storm, long enough for the house"
SCRIPTS = (["paid"], ["51", "paid"], ["05", "51", "paid"], ["91", "paid"], ["51"], ["41"])
FAULTS = (Fault.LOST, Fault.RESET, Fault.CUT, Fault.ERROR, Fault.BUSY)
POLICY = """name = "storm"
window = "PT{window}S"
[timing]
mode = "schedule"
attempts = 4
[[retry]]
after = "PT2S"
[[retry]]
after = "PT5S"
[[retry]]
after = "PT8S"
[[retry]]
after = "PT12S"
[ending]
action = "cancel"
"""


class Storm:
    """One merchant, `count` debts and two workers that are killed again and again for `seconds`."""

    def __init__(self, url: str, home: Path, *, count: int, seconds: float, seed: int = 7) -> None:
        self.home, self.count, self.seconds = home, count, seconds
        self.dice = random.Random(seed)
        self.bank = Merchant()
        self.environment = {
            **os.environ,
            "RECOUP_DATABASE_URL": url,
            "RECOUP_SECRET_KEY": SECRET,
            "RECOUP_LOG": "json",
        }
        self.settings = Settings(database_url=url, secret_key=SECRET)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.kills = 0

    def run(self) -> list[Case]:
        """Lives through it; the cases at the end."""
        with self.bank.running(), open(self.home / "log", "wb") as log:
            self._prepare()
            house = assemble(self.settings)
            try:
                merchant = receive.merchant_named(house, "storm")
                receive.failures(
                    house, merchant, [self._failure(n) for n in range(self.count)], actor="api:test"
                )
                with self._working(log):
                    self._blow(log)
                    self._calm(house, merchant.id)
                self._recoup("verify")
                return books.all_cases(house, merchant.id)
            finally:
                house.db.dispose()

    def _recoup(self, *words: str) -> None:
        subprocess.run([RECOUP, *words], env=self.environment, check=True, capture_output=True)

    def _prepare(self) -> None:
        file = self.home / "storm.toml"
        file.write_text(POLICY.format(window=int(self.seconds) + 10))
        self._recoup("migrate")
        self._recoup(
            "merchant", "add", "storm", "--psp", "generic", "--url", self.bank.url, "--token", self.bank.token,
            "--policy", str(file),
        )  # fmt: skip

    def _failure(self, n: int) -> CaseView:
        now = datetime.now(UTC)  # noqa: TID251  (real processes live in real time)
        self.bank.owe(f"d{n}", *SCRIPTS[n % len(SCRIPTS)], amount_minor=1000 + n)
        card = Method(id=f"pm{n}", network="visa", funding="debit", fingerprint=f"f{n}")
        renewal = Attempt(
            id=f"r{n}", at=now, trigger=Trigger.RENEWAL, method_id=card.id, amount_minor=1000 + n,
            result=Result.DECLINED, psp="generic", network_code="51",
        )  # fmt: skip
        debt = Debt(id=f"d{n}", amount_minor=1000 + n, currency="EUR", due_at=now, subscription_id=f"s{n}")
        return CaseView(
            case_id=f"c{n}", now=now, debt=debt, customer=Customer(id=f"cus{n}", country="DE"), methods=(card,),
            attempts=(renewal,),
        )  # fmt: skip

    @contextmanager
    def _working(self, log: object) -> Iterator[None]:
        try:
            self.workers = [self._start(log) for _ in range(2)]
            yield
        finally:
            for worker in self.workers:
                self._kill(worker)

    def _start(self, log: object) -> subprocess.Popen[bytes]:
        words = [RECOUP, "worker"]
        return subprocess.Popen(words, env=self.environment, stdout=log, stderr=log, start_new_session=True)  # type: ignore[call-overload, no-any-return]

    def _kill(self, worker: subprocess.Popen[bytes]) -> None:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def _blow(self, log: object) -> None:
        """Kills a worker every other second, breaks some of the lines, and settles a few debts behind our back."""
        end = time.monotonic() + self.seconds
        outside = self.dice.sample(range(self.count), self.count // 12)
        while time.monotonic() < end:
            time.sleep(self.dice.uniform(1.5, 3.5))  # a new worker needs a moment to begin at all
            n = self.dice.randrange(len(self.workers))
            self._kill(self.workers[n])
            self.workers[n] = self._start(log)
            self.kills += 1
            self.bank.misbehave(*self.dice.choices(FAULTS, k=6))
            if outside:
                debt = self.bank.debts[f"d{outside.pop()}"]
                with self.bank.lock:
                    debt.status = "paid" if debt.status == "open" else debt.status

    def _calm(self, house: object, merchant_id: str) -> None:
        self.bank.faults.clear()
        until(
            lambda: all(c.state in CLOSED for c in books.all_cases(house, merchant_id)),  # type: ignore[arg-type]
            "the last case to close",
        )

    def faults(self, cases: list[Case]) -> list[str]:
        """Where our books and the merchant's differ; empty when all is well."""
        found = []
        for case in cases:
            debt, times = self.bank.debts[case.debt.id], self.bank.collected(case.debt.id)
            if times > 1:
                found.append(f"{case.debt.id} was collected {times} times")
            if (debt.status == "paid") != (case.state is State.RECOVERED):
                found.append(f"{case.debt.id} is {debt.status} at the merchant's and {case.state} here")
        ours = {a.id: a.result.value for c in cases for a in c.attempts if a.trigger is Trigger.RECOUP}
        theirs = {key: charge.answer["status"] for key, charge in self.bank.charges.items()}
        # An attempt of a debt that was settled outside may be asked about for days; what is known must agree.
        for key in ours.keys() | theirs.keys():
            if ours.get(key) != theirs.get(key) and ours.get(key) != "unknown":
                found.append(f"attempt {key} is {ours.get(key)} here and {theirs.get(key)} at the merchant's")
        ended = [subscription for subscription, _, _ in self.bank.endings]
        if len(ended) != len(set(ended)):
            found.append("a subscription was ended twice")
        return found
