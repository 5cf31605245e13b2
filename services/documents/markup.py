"""XML as it is written: elements of text, and of other elements.

What a contract names is printable, so nothing needs more than XML's escapes.
"""

from typing import NewType
from xml.sax.saxutils import escape, quoteattr

Element = NewType("Element", str)
"""An element, as it is written."""


def text(name: str, value: str, attribute: str = "", its_value: str = "") -> Element:
    """Write an element that holds a text, with one attribute or none."""
    with_attribute = f" {attribute}={quoteattr(its_value)}" if attribute else ""
    return Element(f"<{name}{with_attribute}>{escape(value)}</{name}>")


def given(name: str, value: str) -> list[Element]:
    """Write an element where there is a text for it."""
    return [text(name, value)] if value else []


def group(name: str, *parts: Element) -> Element:
    """Write an element that holds others."""
    return Element(f"<{name}>{''.join(parts)}</{name}>")
