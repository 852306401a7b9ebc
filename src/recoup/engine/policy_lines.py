"""Where in a TOML text each key stands, so that a refusal can name the line."""

Path = tuple[str | int, ...]

_SPACE = " \t\r\n"
_BARE_END = ",]}#\n"


def lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every table, key and list entry of `text`, which must be valid TOML.

    `[[retry]]` twice with `after` in each gives `("retry", 0)`, `("retry", 0, "after")`, `("retry", 1)`, ...
    """
    return _Scan(text).all()


class _Scan:
    """One pass over a text that tomllib has accepted; only positions are of interest."""

    def __init__(self, text: str) -> None:
        self.text = text + "\n"
        self.at = 0
        self.found: dict[Path, int] = {(): 1}
        self.counts: dict[Path, int] = {}

    def all(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip():
            if self._here("[["):
                table = self._header("]]", repeated=True)
            elif self._here("["):
                table = self._header("]", repeated=False)
            else:
                self._pair(table)
        return self.found

    def _here(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def _skip(self) -> bool:
        """Moves past blanks and comments; whether anything is left."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                self.at = self.text.index("\n", self.at)
            elif self.text[self.at] not in _SPACE:
                return True
            else:
                self.at += 1
        return False

    def _note(self, path: Path) -> None:
        self.found.setdefault(path, self.text.count("\n", 0, self.at) + 1)

    def _header(self, closing: str, *, repeated: bool) -> Path:
        start = self.at
        self.at += len(closing)
        keys = self._keys(closing)
        path: Path = ()
        for key in keys[:-1]:
            path = self._current((*path, key))
        path = (*path, keys[-1])
        if repeated:
            nth = self.counts.get(path, 0)
            self.counts[path] = nth + 1
            self._noted_at(start, path)
            path = (*path, nth)
        self._noted_at(start, path)
        return path

    def _noted_at(self, start: int, path: Path) -> None:
        here, self.at = self.at, start
        self._note(path)
        self.at = here

    def _current(self, path: Path) -> Path:
        """The newest entry where `path` is a list of tables, else the table itself."""
        return (*path, self.counts[path] - 1) if path in self.counts else path

    def _keys(self, closing: str) -> Path:
        """The dotted key up to `closing`, which is passed as well."""
        keys: list[str] = []
        while True:
            self._skip()
            if self._here(closing):
                self.at += len(closing)
                return tuple(keys)
            if self.text[self.at] == ".":
                self.at += 1
            elif self.text[self.at] in "\"'":
                start = self.at
                self._string()
                keys.append(self.text[start + 1 : self.at - 1])
            else:
                start = self.at
                while self.text[self.at] not in ".=] \t":
                    self.at += 1
                keys.append(self.text[start : self.at])

    def _pair(self, table: Path) -> None:
        start = self.at
        keys = self._keys("=")
        for n in range(1, len(keys) + 1):
            self._noted_at(start, (*table, *keys[:n]))
        self._skip()
        self._value((*table, *keys))

    def _value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._list(path)
        elif first == "{":
            self._inline(path)
        else:
            while self.text[self.at] not in _BARE_END:
                self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        if self._here(quote * 3):
            self.at += 3
            while not self._here(quote * 3):
                self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
            self.at += 3
            while self.text[self.at] == quote:  # up to two quotes may stand right before the closing ones
                self.at += 1
            return
        self.at += 1
        while self.text[self.at] != quote:
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += 1

    def _list(self, path: Path) -> None:
        self.at += 1
        nth = 0
        while self._skip() and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._note((*path, nth))
            self._value((*path, nth))
            nth += 1
        self.at += 1

    def _inline(self, path: Path) -> None:
        self.at += 1
        while self._skip() and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(path)
        self.at += 1
