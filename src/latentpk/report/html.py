"""HTML composed of elements: text is escaped unless it was made here."""

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Html:
    """Markup that is safe to write as it is.

    Attributes:
        markup: The markup.
    """

    markup: str


Content = Html | str | list["Content"] | None


def element(name: str, *content: Content, **attributes: str) -> Html:
    """One element; plain text in it is escaped, None leaves nothing.

    Args:
        name: Of the element.
        *content: Text, elements, or lists of them.
        **attributes: By name; `class_` is class, `aria_label` aria-label.

    Example:
        >>> element("p", "a < b", class_="note").markup
        '<p class="note">a &lt; b</p>'
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(text)}"' for key, text in attributes.items()
    )
    return Html(f"<{name}{said}>{joined(*content).markup}</{name}>")


def joined(*content: Content) -> Html:
    """Pieces one after the other."""
    return Html("".join(_markup(one) for one in content))


def section(title: str, *content: Content) -> Html:
    """A part of a page under a heading."""
    return element("section", element("h2", title), *content)


def items(lines: list[str], *, class_: str = "plain") -> Html:
    """A list with one entry a line."""
    return element("ul", [element("li", line) for line in lines], class_=class_)


def table(head: list[str], rows: list[list[str]], *, chosen: int | None = None) -> Html:
    """A table; columns after the first are numbers and stand to the right.

    Args:
        head: A name for each column.
        rows: Cells of each row.
        chosen: Index of a row that stands out.
    """
    names = element("tr", [element("th", name, scope="col") for name in head])
    body: list[Content] = []
    for i, row in enumerate(rows):
        cells: list[Content] = [element("td", cell) for cell in row]
        body.append(element("tr", cells, **({"class_": "chosen"} if i == chosen else {})))
    whole = element("table", element("thead", names), element("tbody", body))
    return element("div", whole, class_="wide")


def facts(pairs: list[tuple[str, str]]) -> Html:
    """Names with their values, as a table of two columns."""
    rows: list[Content] = [
        element("tr", element("th", name, scope="row"), element("td", value))
        for name, value in pairs
    ]
    return element("table", element("tbody", rows), class_="facts")


def _markup(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Html):
        return content.markup
    if isinstance(content, list):
        return "".join(_markup(one) for one in content)
    return escape(content)
