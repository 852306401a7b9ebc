"""A merchant's policies: reads them, takes new versions in, shows what a change would do, and puts one in force."""

from itertools import islice
from typing import Annotated

import msgspec

from recoup.domain.audience import PolicyRule
from recoup.domain.decision import Decision
from recoup.domain.instants import Instant
from recoup.domain.policy import Policy
from recoup.engine import policies
from recoup.store import reads
from recoup.store.engines import reading
from recoup.store.reads import StoredPolicy
from recoup.web.endpoint import Call, endpoint
from recoup.web.problems import FieldFault, Problem
from recoup.web.reading import body as read_body
from recoup.web.reading import refused

Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
MOST_BYTES = 256 * 1024
SHOWN_AT_MOST = 1000
_decoder = msgspec.json.Decoder(Policy)


class PolicyShown(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a policy: as it was written, as it is read, and in plain sentences."""

    name: str
    version: int
    ref: str
    active: bool
    """Whether new cases begin with it."""
    source: str
    policy: Policy
    sentences: list[str]
    created_at: Instant


class PolicyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a policy, by name."""

    name: str
    version: int
    ref: str
    active: bool
    created_at: Instant


class PolicyList(msgspec.Struct, frozen=True, kw_only=True):
    """Every version of every policy of the merchant, by name, newest first. Never paged: `next` is null."""

    items: list[PolicyLine]
    rules: tuple[PolicyRule, ...] = ()
    """Audiences whose new cases begin with a policy of their own, not with the active one; the first that fits decides."""
    next: str | None = None


class PolicyText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy file."""

    toml: Annotated[str, msgspec.Meta(max_length=MOST_BYTES)]


class PolicyQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version; the newest where none is named."""

    version: Version | None = None


class Activate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version (the newest where none is named), and whether open cases follow it too."""

    version: Version | None = None
    move_open_cases: bool = False


class Activated(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force now, and the open cases that were moved to it."""

    active: str
    moved: list[str]


class Preview(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to try: a stored version (the newest where none is named), or the text of a policy that is not stored."""

    version: Version | None = None
    toml: Annotated[str, msgspec.Meta(max_length=MOST_BYTES)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=SHOWN_AT_MOST)] = 200


class CaseMove(msgspec.Struct, frozen=True, kw_only=True):
    """One open case: its next step now, and under the policy."""

    case_id: str
    differs: bool
    """Whether the customer or the provider would notice."""
    was: Decision | None
    becomes: Decision


class Previewed(msgspec.Struct, frozen=True, kw_only=True):
    """The open cases that would move, as far as they were looked at."""

    policy: str
    items: list[CaseMove]
    looked_at: int
    differing: int
    complete: bool
    """Whether every open case was looked at; otherwise raise `limit`."""


@endpoint("GET", "/v1/policies", scope="read")
def list_policies(call: Call) -> PolicyList:
    """Lists the merchant's policies with their versions."""
    with reading(call.house.db) as tx:
        found = reads.policy_versions(tx, call.merchant.id)
    lines = []
    for each in found:
        ref = f"{each.name}@{each.version}"
        lines.append(
            PolicyLine(name=each.name, version=each.version, ref=ref, active=ref == call.merchant.policy,
                       created_at=each.created_at)
        )  # fmt: skip
    return PolicyList(items=lines, rules=call.merchant.policy_rules)


@endpoint("GET", "/v1/policies/{name}", scope="read", errors=(404,))
def get_policy(call: Call, query: PolicyQuery) -> PolicyShown:
    """Shows a policy: its text, its meaning, and whether new cases begin with it."""
    return _shown(call, _stored(call, query.version))


@endpoint(
    "PUT", "/v1/policies/{name}", scope="admin", shape=PolicyText,
    media_types=("application/json", "application/toml"),
)  # fmt: skip
def put_policy(call: Call, body: bytes) -> PolicyShown:
    """Stores a policy under its next version, without putting it in force.

    The same content keeps its version. Send the file itself as `application/toml`, or as JSON `{"toml": "..."}`. A policy that does not parse, names an
    unknown key or could never act is refused with line and reason.
    """
    toml = _text(call, body)
    named = policies.parse(toml, source="policy").name
    if named != call.path["name"]:
        why = f"the policy is named {named!r}; PUT it to /v1/policies/{named} or change its name"
        raise refused(FieldFault(path="name", why=why))
    ref = policies.accept(call.house, call.merchant, toml, activate=False)
    return _shown(call, _stored(call, int(ref.rpartition("@")[2])))


@endpoint("POST", "/v1/policies/{name}/activate", scope="admin", errors=(404,))
def activate_policy(call: Call, body: Activate) -> Activated:
    """Puts a policy in force for new cases, and with `move_open_cases` for the open ones, which are planned afresh."""
    ref = _ref(_stored(call, body.version))
    moved = policies.activate(
        call.house, call.merchant, ref, move_open_cases=body.move_open_cases, actor=call.actor
    )
    return Activated(active=ref, moved=moved)


@endpoint("POST", "/v1/policies/{name}/preview", scope="read", errors=(404,))
def preview_policy(call: Call, body: Preview) -> Previewed:
    """Shows what moving the open cases to a policy would do to their next steps. Changes nothing."""
    if body.toml is not None:
        if body.version is not None:
            why = "give either a version or a text, not both"
            raise refused(FieldFault(path="$.version", why=why))
        policy = policies.parse(body.toml, source="policy")
        ref = f"{policy.name}@draft"
    else:
        stored = _stored(call, body.version)
        policy, ref = _decoder.decode(stored.body), _ref(stored)
    found = list(islice(policies.preview(call.house, call.merchant, policy, ref=ref), body.limit + 1))
    moves = [
        CaseMove(case_id=m.case_id, differs=m.differs, was=m.was, becomes=m.becomes)
        for m in found[: body.limit]
    ]
    return Previewed(
        policy=ref, items=moves, looked_at=len(moves), differing=sum(m.differs for m in moves),
        complete=len(found) <= body.limit,
    )  # fmt: skip


def _stored(call: Call, version: int | None) -> StoredPolicy:
    name = call.path["name"]
    with reading(call.house.db) as tx:
        found = reads.policy(tx, call.merchant.id, name, version)
    if found is None:
        which = f"{name}@{version}" if version is not None else name
        raise Problem(404, f"no policy {which!r} is stored for this merchant; GET /v1/policies lists them")
    return found


def _ref(stored: StoredPolicy) -> str:
    return f"{stored.name}@{stored.version}"


def _shown(call: Call, stored: StoredPolicy) -> PolicyShown:
    policy, ref = _decoder.decode(stored.body), _ref(stored)
    return PolicyShown(
        name=stored.name, version=stored.version, ref=ref, active=ref == call.merchant.policy, source=stored.source,
        policy=policy, sentences=policies.sentences(policy), created_at=stored.created_at,
    )  # fmt: skip


def _text(call: Call, raw: bytes) -> str:
    """The file in the body, as JSON or as it is."""
    if call.content_type.partition(";")[0].strip().lower() == "application/json":
        return read_body(raw, PolicyText).toml
    if len(raw) > MOST_BYTES:
        raise Problem(413, f"a policy is no larger than {MOST_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as e:
        raise refused(FieldFault(path="$", why="is not UTF-8 text")) from e
    if "\0" in text:
        raise refused(FieldFault(path="$", why="NUL characters cannot be stored"))
    return text


endpoints = (list_policies, get_policy, put_policy, activate_policy, preview_policy)
