"""Signs a request to Amazon Web Services (Signature Version 4): a body of known bytes, no query, headers of our own.

Steps and names: docs.aws.amazon.com, "Create a signed AWS API request". Held against Amazon's own client in the tests.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


def signed(
    *, method: str, host: str, path: str, body: bytes, key: str, secret: str, region: str, service: str, now: datetime
) -> dict[str, str]:  # fmt: skip
    """The headers to send besides `Host`: the date and the authorisation."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    day, scope = stamp[:8], f"{stamp[:8]}/{region}/{service}/aws4_request"
    canonical = "\n".join(
        (
            method, quote(path, safe="/-_.~"), "", f"host:{host}", f"x-amz-date:{stamp}", "", "host;x-amz-date",
            hashlib.sha256(body).hexdigest(),
        )
    )  # fmt: skip
    to_sign = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    made = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        made = hmac.digest(made, part.encode(), "sha256")
    signature = hmac.digest(made, to_sign.encode(), "sha256").hex()
    credential = f"Credential={key}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}"
    return {"X-Amz-Date": stamp, "Authorization": f"{_ALGORITHM} {credential}"}
