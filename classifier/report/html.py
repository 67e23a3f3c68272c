"""The parts of a web page in one file: nothing from outside, no scripts, light and dark."""

import base64
import io
import re
from collections.abc import Sequence
from html import escape

from PIL import Image

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #59636e; --paper: #ffffff;
  --band: #f3f5f7; --line: #d5dae0; --link: #1f5f9f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #a3adb8; --paper: #15191d;
  --band: #1f252b; --line: #3a424b; --link: #7db7f0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font-family: system-ui, sans-serif; overflow-wrap: anywhere; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.5rem 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-top: .5rem;
  border-top: 1px solid var(--line); }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; padding: 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .6rem; }
dt::first-letter { text-transform: uppercase; }
dl div { background: var(--band); border-radius: .4rem; padding: .6rem .8rem; }
dt, figcaption, caption, footer { color: var(--soft); font-size: .9rem; }
dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
dd small { display: block; font-size: .85rem; color: var(--soft); }
figure { margin: 1rem 0; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: .4rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; font-weight: normal; overflow-wrap: break-word; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
.number { text-align: right; }
td.number { white-space: nowrap; }
td.long { min-width: 12rem; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--link); padding: .3rem 0; }
@media (max-width: 40rem) {
  .wide img { max-width: none; width: max(100%, min(34rem, var(--width))); } }
"""
_NUMBER = re.compile(r"[-+]?[\d,.]+(e[-+]?\d+)?%?( \(.*\)| to [\d.]+)?|")
_LONG = 24
# Photos of this many bytes as PNG take a tenth of them as WebP; charts take more.
_LARGE = 200_000


def page(title: str, lead: str, sections: Sequence[tuple[str, str]], foot: str) -> str:
    """A whole HTML document. lead, and the second of each section: HTML. foot: plain text.

    sections: headings and what stands below them; links at the top lead there.
    """
    links = "\n".join(
        f'<li><a href="#{_anchor(heading)}">{escape(heading)}</a></li>' for heading, _ in sections
    )
    bodies = "\n".join(
        f'<section aria-labelledby="{_anchor(heading)}">\n'
        f'<h2 id="{_anchor(heading)}">{escape(heading)}</h2>\n{content}\n</section>'
        for heading, content in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{lead}
<nav aria-label="Contents">
<ul>
{links}
</ul>
</nav>
</header>
<main>
{bodies}
</main>
<footer>
{paragraph(foot)}
</footer>
</body>
</html>
"""


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower())


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def figures(values: Sequence[tuple[str, str, str]]) -> str:
    """The most important numbers: name, value, and a remark below it."""
    parts = [
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(remark)}</small></dd></div>"
        for name, value, remark in values
    ]
    return "\n".join(["<dl>", *parts, "</dl>"])


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column names its rows; where it is too wide, it scrolls by itself."""
    if not rows:
        return paragraph(f"{caption}: none.")
    numbers = [all(_NUMBER.fullmatch(row[place]) for row in rows) for place in range(len(headings))]
    kinds = [" class=number" if number else "" for number in numbers]
    head = "".join(
        f'<th scope="col"{kind}>{escape(heading)}</th>'
        for kind, heading in zip(kinds, headings, strict=True)
    )
    body = "\n".join(_row(row, kinds) for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">\n<table>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _row(cells: Sequence[str], kinds: Sequence[str]) -> str:
    name = f'<th scope="row">{escape(cells[0])}</th>'
    others = (
        f"<td{' class=long' if not kind and len(cell) > _LONG else kind}>{escape(cell)}</td>"
        for cell, kind in zip(cells[1:], kinds[1:], strict=True)
    )
    return f"<tr>{name}{''.join(others)}</tr>"


def folded(summary: str, content: str) -> str:
    """What shows only when it is asked for."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n{content}\n</details>"


def image(png: bytes, alt: str, caption: str = "") -> str:
    """A PNG file inside the page. alt: what it shows, for those who cannot see it.

    Where the screen is narrow, it keeps a size at which it can be read, and scrolls by itself.
    """
    with Image.open(io.BytesIO(png)) as opened:
        width, height = opened.size
        kind, content = ("png", png) if len(png) < _LARGE else ("webp", _as_webp(opened))
    data = base64.b64encode(content).decode()
    below = f"\n<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure>\n<div class="wide" tabindex="0" role="region" aria-label="Image">\n'
        f'<img alt="{escape(alt)}" width="{width}" height="{height}" style="--width: {width}px" '
        f'src="data:image/{kind};base64,{data}">\n</div>{below}\n</figure>'
    )


def _as_webp(opened: Image.Image) -> bytes:
    buffer = io.BytesIO()
    opened.convert("RGB").save(buffer, "WEBP", quality=85, method=4)
    return buffer.getvalue()
