"""The parts that pages are made of: the document itself, sections, lists, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources

from qoe.report.charts import CLASS_COLOURS, escape, tag


def document(title: str, body: str) -> str:
    """Write a whole page around a body of markup; nothing is loaded from elsewhere."""
    style = resources.files("qoe.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, meaning: str, *content: str, **attributes: object) -> str:
    """Put content, which is markup, under a title with its meaning."""
    return tag("section", tag("h2", escape(title)), tag("p", escape(meaning)), *content, **attributes)


def scroll(*content: str) -> str:
    """Let what is wider than the page scroll by itself."""
    return tag("div", *content, class_="scroll")


def items(texts: Iterable[str]) -> str:
    """List texts."""
    return tag("ul", *(tag("li", escape(item)) for item in texts))


def table(header: str, rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; cells are markup. A name that begins with ``>`` is a column of numbers."""
    names = [name.strip() for name in header.split(",")]
    kinds = [{"class_": "n"} if name.startswith(">") else {} for name in names]
    head = tag("tr", *(tag("th", name.lstrip(">"), **kind) for name, kind in zip(names, kinds, strict=True)))
    body = [tag("tr", *(tag("td", c, **kind) for c, kind in zip(row, kinds, strict=True))) for row in rows]
    return tag("table", tag("thead", head), tag("tbody", *body))


def class_name(app_class: str) -> str:
    """Name an application class with a dot of its colour."""
    return tag("span", "", class_="dot", style=f"background:{CLASS_COLOURS.get(app_class, 'gray')}") + escape(
        app_class
    )
