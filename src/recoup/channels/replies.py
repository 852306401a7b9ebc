"""What a mail server's refusal says of the address: that it takes no mail at all, or only that it did not take this one."""

from __future__ import annotations

import re

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_NOBODY = re.compile(
    r"user unknown|unknown user|unknown recipient|no such (user|recipient|mailbox|person|address)|does ?n[o']t exist|"
    r"not exist|invalid (recipient|mailbox|address)|recipient (unknown|not found|rejected: user)|"
    r"(mailbox|account|address) (unavailable|disabled|not found|unknown|closed|inactive|has been disabled)|"
    r"no mailbox|unrouteable|host or domain name not found|no longer (valid|active|with us|works)",
    re.IGNORECASE,
)
_NOT_THE_ADDRESS = re.compile(
    r"spam|block|blacklist|denylist|reputation|policy|dmarc|spf|dkim|content|virus|quota|full|rate|too many|greylist",
    re.IGNORECASE,
)
# RFC 3463: bad mailbox, bad host, bad syntax, moved without a new address, no null MX (RFC 7505); mailbox disabled.
_HARD = frozenset({(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1), (4, 4)})
_VAGUE = frozenset({(0, 0), (1, 0), (2, 0), (5, 0)})


def takes_no_mail(text: str, status: str = "") -> bool:
    """Whether a permanent refusal is about the address for good. `status` is an enhanced code (RFC 3463) where the
    teller gave one by itself; a vaguer one yields to what the text says. In doubt the address is kept."""
    codes = [(int(c), int(s), int(d)) for c, s, d in _STATUS.findall(f"{status} {text}")]
    clear = [c for c in codes if (c[1], c[2]) not in _VAGUE]
    if clear:
        return any(kind == 5 and (subject, detail) in _HARD for kind, subject, detail in clear)
    if _NOT_THE_ADDRESS.search(text):
        return False
    return _NOBODY.search(text) is not None
