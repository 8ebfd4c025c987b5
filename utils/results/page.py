"""Writes the results page: template, style, script and data in one self-contained file."""

import base64
import hashlib
import html
import json
from pathlib import Path
from string import Template
from typing import Any

from utils.results.statistics import finite_or_none
from utils.system.files import written_whole

PARTS = Path(__file__).resolve().parent / "page_parts"


def json_for_script(data: Any) -> str:
    """Return the data as JSON for a script element, which nothing in it can end."""
    text = json.dumps(finite_or_none(data), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def content_hash(text: str) -> str:
    """Return the hash by which the page's content security policy allows a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def read_parts(*names: str) -> str:
    """Return the files of the page parts one after the other."""
    return "".join((PARTS / name).read_text(encoding="utf-8") for name in names)


def write_page(path: Path, title: str, data: dict[str, Any], *, parts: str = "page") -> None:
    """Write the page that shows `data`; the file appears at `path` only when it is whole.

    Parameters
    ----------
    path : Path
    title : str
    data : dict
        As JSON holds it.
    parts : {"page", "recording"}
        The results page, or the page of a recording.
    """
    style = read_parts("page.css", *["recording.css"] * (parts == "recording"))
    script = read_parts("common.js", f"{parts}.js")
    page = read_parts("head.html", f"{parts}.html", "foot.html")
    text = Template(page).substitute(
        title=html.escape(title),
        style=style,
        style_hash=content_hash(style),
        script=script,
        script_hash=content_hash(script),
        data=json_for_script(data),
    )
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")  # a title may be a path
