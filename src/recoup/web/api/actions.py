"""What programs may do with a case: the actions people have on its page."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from recoup.domain.fold import DISPUTE, WITH_PERSON
from recoup.domain.instants import Instant, text
from recoup.domain.view import Id, Trigger
from recoup.engine import operate
from recoup.web.api.shapes import CaseShown, after
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault
from recoup.web.reading import refused

Words = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown fields are refused by name."""


class Pause(_Body, frozen=True, kw_only=True):
    """Why nothing shall happen, and until when; without `until`, until it is resumed."""

    reason: Words
    until: Instant | None = None


class Nothing(_Body, frozen=True, kw_only=True):
    """An empty body, or `{}`."""


class Retry(_Body, frozen=True, kw_only=True):
    """Which method to charge; the one that would be charged next where none is named."""

    method_id: Id | None = None


class Close(_Body, frozen=True, kw_only=True):
    """How it ended: `paid` (elsewhere), `void` (not owed), `cancelled` (the customer left) or `written_off`."""

    outcome: Literal["paid", "void", "cancelled", "written_off"]
    reason: Words


class Assign(_Body, frozen=True, kw_only=True):
    """Who looks after it; null: nobody."""

    owner: Name | None


class Note(_Body, frozen=True, kw_only=True):
    """A remark."""

    text: Words


class Promise(_Body, frozen=True, kw_only=True):
    """When the customer said they will pay."""

    pay_at: Instant


@endpoint("POST", "/v1/cases/{case_id}/pause", scope="write", errors=(404, 409))
def pause_case(call: Call, body: Pause) -> CaseShown:
    """Pauses a case. Nothing is charged or sent until then, and messages that wait are withdrawn."""
    if body.reason in (DISPUTE, WITH_PERSON):
        why = f"{body.reason!r} is a hold of the house itself; give another reason"
        raise refused(FieldFault(path="$.reason", why=why))
    if body.until is not None:
        _ahead(call, "$.until", body.until)
    case = operate.pause(
        call.house,
        call.merchant,
        call.path["case_id"],
        actor=call.actor,
        reason=body.reason,
        until=body.until,
    )
    return after(call, case)


@endpoint("POST", "/v1/cases/{case_id}/resume", scope="write", errors=(404, 409))
def resume_case(call: Call, body: Nothing) -> CaseShown:
    """Resumes a paused case. Its next step is the one due by age, exactly one."""
    return after(call, operate.resume(call.house, call.merchant, call.path["case_id"], actor=call.actor))


@endpoint("POST", "/v1/cases/{case_id}/retry", scope="write", errors=(404, 409))
def retry_case(call: Call, body: Retry) -> CaseShown:
    """Charges now if the rules allow it, and answers with the case afterwards.

    Network and scheme rules bind: a refusal is 409 and names them in `rules`. Two requests at once make one charge.
    """
    told = operate.retry(
        call.house, call.merchant, call.path["case_id"], actor=call.actor, trigger=Trigger.STAFF,
        method_id=body.method_id,
    )  # fmt: skip
    return after(call, told.case)


@endpoint("POST", "/v1/cases/{case_id}/close", scope="write", errors=(404, 409))
def close_case(call: Call, body: Close) -> CaseShown:
    """Closes a case by hand. Messages that wait are withdrawn."""
    case = operate.close(
        call.house,
        call.merchant,
        call.path["case_id"],
        actor=call.actor,
        outcome=body.outcome,
        reason=body.reason,
    )
    return after(call, case)


@endpoint("POST", "/v1/cases/{case_id}/assign", scope="write", errors=(404, 409))
def assign_case(call: Call, body: Assign) -> CaseShown:
    """Makes somebody, or nobody, the owner."""
    case = operate.assign(call.house, call.merchant, call.path["case_id"], actor=call.actor, owner=body.owner)
    return after(call, case)


@endpoint("POST", "/v1/cases/{case_id}/note", scope="write", errors=(404, 409))
def note_case(call: Call, body: Note) -> CaseShown:
    """Writes a remark into the case's life."""
    case = operate.note(call.house, call.merchant, call.path["case_id"], actor=call.actor, text=body.text)
    return after(call, case)


@endpoint("POST", "/v1/cases/{case_id}/promise", scope="write", errors=(404, 409))
def promise_case(call: Call, body: Promise) -> CaseShown:
    """Writes down when the customer will pay: that day becomes the next attempt. It must lie inside the window."""
    case = operate.promise(
        call.house, call.merchant, call.path["case_id"], actor=call.actor, pay_at=body.pay_at
    )
    return after(call, case)


def _ahead(call: Call, path: str, at: datetime) -> None:
    if at <= call.now:
        why = f"{text(at)} is past; name a later instant"
        raise refused(FieldFault(path=path, why=why))


endpoints = (pause_case, resume_case, retry_case, close_case, assign_case, note_case, promise_case)
