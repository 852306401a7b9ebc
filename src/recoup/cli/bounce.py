"""`recoup bounce`: takes in one message that a mail server brought back, for a pipe in its alias file."""

from typing import Annotated

import typer

MOST_BYTES = 1024 * 1024
"""More of a message is not read: what says why it came back stands in front of what it encloses."""


def bounce(
    to: Annotated[
        str | None, typer.Option(help="The address it came back to, where the message does not say.")
    ] = None,
) -> None:
    """Reads one message from stdin: a bounce, a complaint. Others are left alone."""
    import sys

    from recoup.cli.opening import opened
    from recoup.engine import returned

    raw = sys.stdin.buffer.read(MOST_BYTES)
    with opened() as house:
        owner, events = returned.brought_back(house, raw, to)
    if not events:
        print("neither a bounce nor a complaint; nothing was kept")
    elif owner is None:
        print(f"{events[0].what}, about no letter of ours; nothing was kept")
    else:
        print(f"{', '.join(e.what for e in events)}; kept for {owner}, the worker takes it in")
