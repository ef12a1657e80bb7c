"""The system's diagram as SVG: opaque, colour-blind safe, readable on a phone."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from booklib.system import Edge, Part, System

__all__ = ["alt_text", "draw"]

# 480 wide: on a phone (about 350) the 15-unit labels are still 11 pixels high.
_WIDTH = 480
_LEFT, _RIGHT = 38, 22
_COLUMN = (_WIDTH - _LEFT - _RIGHT) / 12
_TOP = 20
_BOX = 56
_GAP = 36
_FONT = (
    "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', Roboto, 'Segoe UI', "
    "system-ui, sans-serif"
)
_PAPER, _INK, _MUTED, _LINE = "#fbfcfe", "#1f2933", "#52606d", "#7b8794"


@dataclass(frozen=True)
class _Look:
    fill: str
    stroke: str
    text: str
    detail: str
    width: float = 1.5
    dash: str = ""


# Told apart by lightness, outline and dash as well as by hue.
_STATES = {
    "now": _Look("#0072b2", "#004a75", "#ffffff", "#e6f2fa", 3),
    "built": _Look("#dcecf7", "#0072b2", _INK, _MUTED),
    "later": _Look("#ffffff", "#9aa5b1", _MUTED, "#66737f", 1.5, "5 4"),
}
# Okabe and Ito's palette, lightened to carry dark text.
_KINDS = {
    "source": _Look("#fdf3d8", "#b07a00", _INK, _MUTED),
    "log": _Look("#dcecf7", "#0072b2", _INK, _MUTED),
    "service": _Look("#d9f1e8", "#00795a", _INK, _MUTED),
    "store": _Look("#e3e8ee", "#3e4c59", _INK, _MUTED),
    "model": _Look("#fbe3d6", "#b84a00", _INK, _MUTED),
    "watch": _Look("#f6e3ee", "#9c4f7c", _INK, _MUTED),
}
_LEGEND = {"now": "this chapter", "built": "built so far", "later": "to come"}


def draw(system: System, chapter: int | None = None) -> str:
    """Return the diagram, with the parts of ``chapter`` lit up.

    Without a chapter, parts are coloured by their kind and carry the numbers of the
    chapters that build them.
    """
    rows = max(part.row for part in system.parts) + 1
    height = _TOP + rows * _BOX + (rows - 1) * _GAP + _TOP
    body = [_edge(system, edge, chapter) for edge in system.edges]
    body += [_box(part, chapter) for part in system.parts]
    body.append(_legend(system, rows, chapter))
    title = escape(alt_text(system, chapter))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" font-family="{_FONT}">\n'
        f"<title>{title}</title>\n"
        '<defs><marker id="head" viewBox="0 0 10 10" refX="8.5" refY="5" '
        'markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
        f'<path d="M0 0.8 L9 5 L0 9.2 z" fill="{_LINE}"/></marker></defs>\n'
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="{_PAPER}"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def alt_text(system: System, chapter: int | None = None) -> str:
    """Return the diagram in words."""
    flow = (
        "Events flow from the simulator through Kafka to the predictor, the detector "
        "and storage, and from there into TimescaleDB; the trainer, the monitor and "
        "the dashboards read from it; the trainer registers models that the "
        "predictor loads"
    )
    if chapter is None:
        return flow
    lit = [part.label for part in system.parts if chapter in part.chapters]
    return f"{flow}. Lit up: {', '.join(lit)}" if lit else flow


def _state(part: Part, chapter: int) -> str:
    if chapter in part.chapters:
        return "now"
    return "built" if min(part.chapters) < chapter else "later"


def _box(part: Part, chapter: int | None) -> str:
    look = _KINDS[part.kind] if chapter is None else _STATES[_state(part, chapter)]
    x, y = _x(part.column), _y(part.row)
    width = part.width * _COLUMN
    middle = x + width / 2
    dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
    lines = [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BOX}" rx="9" '
        f'fill="{look.fill}" stroke="{look.stroke}" '
        f'stroke-width="{look.width}"{dash}/>',
        _text(middle, y + 24, part.label, 16, look.text, weight=600),
        _text(middle, y + 43, part.detail, 13, look.detail),
    ]
    if chapter is None:
        shown = " ".join(f"{number:02d}" for number in part.chapters)
        badge = 10 + 7.5 * len(shown)
        left = x + 8 if part.badge == "left" else x + width - badge - 8
        lines.append(
            f'<rect x="{left:.1f}" y="{y - 9:.1f}" width="{badge:.1f}" height="18" '
            f'rx="9" fill="{look.stroke}"/>'
        )
        lines.append(_text(left + badge / 2, y + 4.2, shown, 12, "#ffffff", weight=600))
    return "\n".join(lines)


def _edge(system: System, edge: Edge, chapter: int | None) -> str:
    source, target = system.by_id[edge.source], system.by_id[edge.to]
    if edge.shape == "margin":
        left, edge_x = _x(source.column), 22.0
        low, high = _y(source.row) + _BOX / 2, _y(target.row) + _BOX / 2
        path = (
            f"M{left:.1f} {low:.1f} H{edge_x + 8:.1f} "
            f"Q{edge_x:.1f} {low:.1f} {edge_x:.1f} {low - 8:.1f} V{high + 8:.1f} "
            f"Q{edge_x:.1f} {high:.1f} {edge_x + 8:.1f} {high:.1f} H{left - 2:.1f}"
        )
        middle = (_y(source.row - 1) + _y(source.row) + _BOX) / 2 - _BOX
        turn = f"rotate(-90 {edge_x - 6:.1f} {middle:.1f})"
        label = _text(edge_x - 6, middle, edge.label, 12, _MUTED, transform=turn)
        return _path(path, dashed=True) + "\n" + label
    if edge.shape == "side":
        y = _y(source.row) + _BOX / 2
        right = source.column > target.column
        start = _x(source.column if right else source.column + source.width)
        end = _x(target.column + target.width if right else target.column)
        end += 2 if right else -2
        return _path(f"M{start:.1f} {y:.1f} H{end:.1f}")
    x = _x(edge.at)
    if source.row < target.row:
        start, end = _y(source.row) + _BOX, _y(target.row) - 2
    else:
        start, end = _y(source.row), _y(target.row) + _BOX + 2
    drawn = _path(f"M{x:.1f} {start:.1f} V{end:.1f}")
    if edge.label:
        y = (start + end) / 2 + 4
        drawn += "\n" + _text(x + 8, y, edge.label, 12, _MUTED, anchor="start")
    return drawn


def _legend(system: System, rows: int, chapter: int | None) -> str:
    last = [part for part in system.parts if part.row == rows - 1]
    x = _x(max(part.column + part.width for part in last)) + 18
    if chapter is None:
        y = _y(rows - 1) + _BOX / 2 + 5
        return _text(x, y, "numbers: chapters", 13, _MUTED, anchor="start")
    lines = []
    for index, (state, text) in enumerate(_LEGEND.items()):
        look, y = _STATES[state], _y(rows - 1) + 4 + index * 19
        dash = ' stroke-dasharray="4 3"' if look.dash else ""
        lines.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="20" height="12" rx="3" '
            f'fill="{look.fill}" stroke="{look.stroke}" stroke-width="1.5"{dash}/>'
        )
        lines.append(_text(x + 28, y + 10.5, text, 13, _MUTED, anchor="start"))
    return "\n".join(lines)


def _path(d: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<path d="{d}" fill="none" stroke="{_LINE}" stroke-width="1.8"{dash} '
        'marker-end="url(#head)"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    size: int,
    colour: str,
    *,
    weight: int = 400,
    anchor: str = "middle",
    transform: str = "",
) -> str:
    turn = f' transform="{transform}"' if transform else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}" text-anchor="{anchor}"{turn}>{escape(text)}</text>'
    )


def _x(column: float) -> float:
    return _LEFT + column * _COLUMN


def _y(row: int) -> float:
    return _TOP + row * (_BOX + _GAP)
