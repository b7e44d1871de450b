"""The curve of look-ups over the number of subscribers, as a small SVG. Called by `report`."""

import math
from collections.abc import Sequence
from typing import Any, Final

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 620, 30, 250
_STYLE: Final = "font-family:sans-serif;font-size:12px;fill:#333"


def svg(curve: Sequence[dict[str, Any]]) -> str:
    """Look-ups a second by number of subscribers (logarithmic), the p99 at half the rate beside each."""
    powers = [math.log10(each["subscribers"]) for each in curve]
    most = math.ceil(max(each["per_s"] for each in curve) / 20_000) * 20_000
    span = max(powers[-1] - powers[0], 1)
    points = [
        (
            LEFT + (RIGHT - LEFT) * (power - powers[0]) / span * 0.9 + 20,
            BOTTOM - (BOTTOM - TOP) * each["per_s"] / most,
        )
        for power, each in zip(powers, curve, strict=True)
    ]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 18, "look-ups a second in one process; p99 at half of that"),
    ]
    for tick in range(0, most + 1, 20_000):
        y = BOTTOM - (BOTTOM - TOP) * tick / most
        lines.append(f'<path d="M{LEFT} {y:.0f}H{RIGHT}" stroke="#ddd"/>')
        lines.append(_text(LEFT - 8, y + 4, f"{tick:,}", "end"))
    path = " ".join(f"{'M' if not n else 'L'}{x:.0f} {y:.0f}" for n, (x, y) in enumerate(points))
    lines.append(f'<path d="{path}" fill="none" stroke="#1f6feb" stroke-width="2"/>')
    for (x, y), power, each in zip(points, powers, curve, strict=True):
        lines.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#1f6feb"/>')
        lines.append(_text(x, y - 10, f"{each['per_s']:,.0f}", "middle"))
        lines.append(_text(x, y + 20, f"{each['p99_ms']:.1f} ms", "middle"))
        lines.append(_text(x, BOTTOM + 20, f"10^{power:.0f}", "middle"))
    lines.append(_text((LEFT + RIGHT) / 2, BOTTOM + 40, "subscribers", "middle"))
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" style="{_STYLE}">{words}</text>'
