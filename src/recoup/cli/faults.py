"""What went wrong, as one line for people and an exit code for programs."""

import os
import sys

DONE, FOUND, USAGE, UNREACHABLE = 0, 1, 2, 3
STOPPED = 130
"""Exit codes: done; the work found a fault it names; wrong usage; a needed service is unreachable; stopped with Ctrl-C."""

_CODES = {
    "recoup.settings.BadSetting": USAGE,
    "recoup.store.engines.BadDatabaseUrl": USAGE,
    "recoup.store.vault.WeakSecret": USAGE,
    "recoup.store.vault.Sealed": USAGE,
    "recoup.store.merchants.NoSuchMerchant": USAGE,
    "recoup.store.merchants.NameTaken": USAGE,
    "recoup.store.cases.NoSuchCase": USAGE,
    "recoup.store.experiments.NoSuchExperiment": USAGE,
    "recoup.insight.experiments_run.NotAnswerable": FOUND,
    "recoup.engine.policy_files.NoSuchPolicy": USAGE,
    "recoup.channels.esp.settings.BadMailUrl": USAGE,
    "recoup.channels.smtp_settings.BadSmtpUrl": USAGE,
    "recoup.psp.registry.UnknownProvider": USAGE,
    "recoup.engine.policy_text.PolicyRefused": FOUND,
    "recoup.engine.house.UnknownPolicy": FOUND,
    "recoup.store.migrate.DatabaseAhead": FOUND,
}
"""Errors by the full name of their class, so that none of their modules is imported just to be compared with."""


class Fault(Exception):
    """A fault that a command names itself: what, why, what to do; and the exit code."""

    def __init__(self, says: str, code: int = FOUND) -> None:
        self.code = code
        super().__init__(says)


def explained(error: BaseException) -> tuple[str, int]:
    """The one line after `recoup: ` and the exit code for `error`."""
    if isinstance(error, Fault):
        return _line(str(error)), error.code
    names = [f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__]
    for name in names:
        if name in _CODES:
            return _line(str(error)), _CODES[name]
    if "sqlalchemy.exc.DBAPIError" in names:
        return _database(error)
    if isinstance(error, OSError) and error.filename is not None:
        why = (error.strerror or str(error)).lower()
        return f"{error.filename} cannot be used; {why}; check the path and who may read it", USAGE
    says = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return (
        f"{_line(says)}; a fault in Recoup itself; run again with RECOUP_DEBUG=1 and report what it shows",
        FOUND,
    )


def _database(error: BaseException) -> tuple[str, int]:
    says = _line(str(getattr(error, "orig", error)))
    if "no such table" in says or ("relation" in says and "does not exist" in says):
        return (
            "the database has no tables of this version; it was never brought up; run `recoup migrate`",
            FOUND,
        )
    if type(error).__name__ in ("OperationalError", "InterfaceError"):
        return (
            f"the database cannot be used; {says}; check RECOUP_DATABASE_URL and that it is running",
            UNREACHABLE,
        )
    return f"the database refused; {says}; run `recoup doctor`", FOUND


def _line(text: str) -> str:
    return " ".join(text.split())


def tell(error: BaseException) -> int:
    """Writes the line to stderr and answers the exit code. With RECOUP_DEBUG=1 the traceback comes first."""
    if os.environ.get("RECOUP_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    says, code = explained(error)
    print(f"recoup: {says}", file=sys.stderr)
    return code
