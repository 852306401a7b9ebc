"""Foreign words as they may be kept: what a provider or a mail server answers is not ours to choose."""


def plain(text: str | None, most: int = 200) -> str | None:
    """`text` without what no database keeps (NUL and its like), at most so many characters; None where nothing is left."""
    if text is None:
        return None
    kept = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text).strip()
    return kept[:most] or None
