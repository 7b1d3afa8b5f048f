"""Parts that several sections of the page are made of."""

from collections.abc import Iterable

from img2world.runs.page.markup import Markup, element
from img2world.runs.page.pictures import Picture, Video
from img2world.runs.page.words import TERMS


def section(name: str, heading: str, *content: str | Markup | Iterable | None) -> Markup:
    """Return a section with a heading, to which the contents of the page link."""
    return element("section", element("h2", heading), content, id=name)


def image(picture: Picture, text: str, **attributes: str | None) -> Markup:
    """Return a picture with a text for those who cannot see it."""
    return element(
        "img",
        src=picture.url,
        alt=text,
        width=picture.width,
        height=picture.height,
        style=_ratio(picture),
        decoding="async",
        **attributes,
    )


def movie(video: Video, text: str) -> Markup:
    """Return a video that plays on demand."""
    return element(
        "video",
        src=video.url,
        poster=video.poster.url,
        width=video.width,
        height=video.height,
        style=_ratio(video),
        controls=True,
        loop=True,
        muted=True,
        playsinline=True,
        preload="metadata",
        aria_label=text,
    )


def _ratio(picture: Picture | Video) -> str:
    """Return the ratio of width to height for the style sheet, which limits the height of wide columns."""
    return f"--ratio:{picture.width / picture.height:.4f}"


def term(name: str, text: str) -> Markup:
    """Return a term that is explained at the end of the page, and in a tooltip."""
    return element("a", text, href=f"#term-{name}", title=TERMS[name][1], class_="term")


def table(headings: Iterable[str], rows: Iterable[Iterable], caption: str, class_: str | None = None) -> Markup:
    """Return a table; of a cell that is markup of a cell, that."""
    head = element("tr", [element("th", heading, scope="col") for heading in headings])
    body = [element("tr", [_cell(cell) for cell in row]) for row in rows]
    return element(
        "div",
        element("table", element("caption", caption), element("thead", head), element("tbody", body), class_=class_),
        class_="scroll",
    )


def _cell(cell: str | Markup | Iterable) -> Markup:
    """Return the cell of a table."""
    return cell if isinstance(cell, Markup) and cell.startswith(("<td", "<th")) else element("td", cell)
