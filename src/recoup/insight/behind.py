"""Work that nobody waits for: the same job never twice at once, faults written to the log and never in anybody's way."""

from collections.abc import Callable
from threading import Lock, Thread

import structlog

_log = structlog.get_logger("recoup.insight")
_at_work: dict[str, Thread] = {}
_guard = Lock()


def behind(job: str, does: Callable[[], object]) -> None:
    """Has it done in a thread of its own, unless a job of this name is being done."""
    with _guard:
        if job in _at_work:
            return
        _at_work[job] = Thread(target=_do, args=(job, does), name=f"behind {job}", daemon=True)
        _at_work[job].start()


def wait(job: str, timeout: float = 60.0) -> None:
    """Until a job of this name is done, where one is being done."""
    with _guard:
        thread = _at_work.get(job)
    if thread is not None:
        thread.join(timeout)


def _do(job: str, does: Callable[[], object]) -> None:
    try:
        does()
    except Exception:  # nobody waits for it, so nobody else would hear of it
        _log.exception("figures_behind_failed", job=job)
    finally:
        with _guard:
            _at_work.pop(job, None)
