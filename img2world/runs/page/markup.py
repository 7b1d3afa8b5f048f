"""HTML in which all text is escaped, unless it is markup itself."""

import html
from collections.abc import Iterable

VOID = ("img", "br", "meta", "input", "col", "source")
"""Elements without content and end tag."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, *content: str | int | Iterable | None, **attributes: str | int | bool | None) -> Markup:
    """Return an element with its content: markup as it is, any other text escaped, None left out, lists joined.

    Attributes are named as in Python: class_, aria_label. One that is None or False is left out, True has no value.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(attribute if value is True else f'{attribute}="{html.escape(printable(str(value)))}"')
    start = f"<{' '.join(parts)}>"
    return Markup(start) if name in VOID else Markup(f"{start}{join(content)}</{name}>")


def join(content: str | int | Iterable | None) -> Markup:
    """Return content as markup."""
    if content is None or isinstance(content, Markup):
        return content or Markup("")
    if isinstance(content, str | int):
        return Markup(html.escape(printable(str(content))))
    return Markup("".join(join(part) for part in content))


def printable(text: str) -> str:
    """Return the text with a replacement character for each byte of a file name that is not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
