"""What facts of messages change in a case: part of the fold."""

import msgspec

from recoup.domain import facts as f
from recoup.domain.case import Case
from recoup.domain.reach import further
from recoup.domain.view import Message


def queued(case: Case, fact: f.MessageQueued) -> dict[str, tuple[Message, ...]]:
    message = Message(at=fact.at, channel=fact.channel, step=fact.step, status="queued", id=fact.message_id,
                      debit_at=fact.debit_at, debit_minor=fact.debit_minor)  # fmt: skip
    return {"messages": (*case.messages, message)}


def moved(case: Case, fact: f.MessageMoved) -> dict[str, tuple[Message, ...]]:
    after = tuple(
        msgspec.structs.replace(
            m,
            status=further(m.status, fact.status),
            channel=fact.channel or m.channel,
            arms=fact.arms if fact.status == "sent" else m.arms,
        )
        if m.id == fact.message_id
        else m
        for m in case.messages
    )
    return {"messages": after}
