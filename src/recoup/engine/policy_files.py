"""Where policy texts come from: those that ship with Recoup, and files."""

from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "policies"


class NoSuchPolicy(LookupError):
    """There is neither a shipped policy of that name nor a file of that path."""


@cache
def shipped() -> tuple[str, ...]:
    """The names of the policies that come with Recoup."""
    return tuple(sorted(p.stem for p in SHIPPED.glob("*.toml")))


def text_of(name_or_file: str) -> tuple[str, str]:
    """The text of a shipped policy or of a file, and what to call it in a refusal. Raises `NoSuchPolicy`."""
    if name_or_file in shipped():
        return (SHIPPED / f"{name_or_file}.toml").read_text(encoding="utf-8"), f"{name_or_file}.toml"
    try:
        return Path(name_or_file).read_text(encoding="utf-8"), name_or_file
    except UnicodeDecodeError as e:
        raise NoSuchPolicy(f"{name_or_file} is not a text file in UTF-8; save it as one") from e
    except OSError as e:
        raise NoSuchPolicy(
            f"no policy {name_or_file!r}: there is no such file, and the shipped ones are {', '.join(shipped())}"
        ) from e
