"""Case views in, decisions out: one line for each line, in order, the same for the same line and seed."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

from recoup.decide.chart import Chart
from recoup.decide.decision import decide as decided
from recoup.domain.decision import Decision, Ending, Move, RunnerUp
from recoup.domain.instants import Instant
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView
from recoup.engine.policy_text import canonical


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A decision as it is written out: what every move has, and of the rest only what this move has."""

    case_id: str
    move: Move
    at: Instant
    method_id: str | None = None
    amount_minor: int | None = None
    channel: str | None = None
    step: str | None = None
    queue: str | None = None
    action: Ending | None = None
    because: tuple[str, ...]
    by: str
    propensity: float
    policy: str
    rules: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    runners_up: tuple[RunnerUp, ...] = ()


class Mistake(msgspec.Struct, kw_only=True):
    """What is written for a line that cannot be decided."""

    error: str
    line: int


def play(one: Callable[[bytes], Answer], lines: BinaryIO, out: BinaryIO) -> int:
    """Answers every line of `lines` on `out`; how many could not be decided."""
    encoder = msgspec.json.Encoder()
    mistakes = 0
    for number, line in enumerate(lines, 1):
        try:
            said: Answer | Mistake = one(line)
        except (ValueError, msgspec.MsgspecError, OverflowError) as e:
            mistakes += 1
            said = Mistake(error=str(e), line=number)
        out.write(encoder.encode(said) + b"\n")
        out.flush()
    return mistakes


def reference(policy: Policy) -> str:
    """What a policy that is not stored goes by: its name and a version that changes with its content."""
    return f"{policy.name}@{hashlib.sha256(canonical(policy).encode()).hexdigest()[:8]}"


def decider(policy: Policy, ref: str, seed: int, chart: Chart | None = None) -> Callable[[bytes], Answer]:
    """A function from one line to its answer. Raises `ValueError` for a line that is no case view.

    `chart` is the merchant's own model, the shipped one where it is None.
    """
    decoder = msgspec.json.Decoder(CaseView)
    salt = str(seed).encode()

    def one(line: bytes) -> Answer:
        view = decoder.decode(line)
        now = view.now.astimezone(UTC)
        draw = int.from_bytes(hashlib.blake2b(line.strip(), digest_size=8, key=salt).digest(), "big") / 2**64
        return answer(decided(view, policy, policy_ref=ref, now=now, draw=draw, chart=chart), now)

    return one


def answer(d: Decision, now: datetime) -> Answer:
    """The decision in its written form."""
    return Answer(
        case_id=d.case_id,
        move=d.move,
        at=(d.at or now).astimezone(UTC),
        method_id=d.method_id,
        amount_minor=d.amount_minor,
        channel=d.channel,
        step=d.step,
        queue=d.queue,
        action=d.action,
        because=d.because,
        by=d.by,
        propensity=d.propensity,
        policy=d.policy,
        rules=d.rules,
        skipped=d.skipped,
        runners_up=d.runners_up,
    )
