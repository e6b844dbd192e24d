"""A line plot as SVG, written by hand: no dependency, readable on light and dark pages."""

from html import escape
from math import log10

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 80, 130, 20, 60
COLOURS = ("#2f6db5", "#c8551b", "#3a8a3f", "#8a3a8a")


def line_plot(lines, x_label, y_label):
    """SVG of {name: [(x, y), ...]}: x on a logarithmic scale, y from zero."""
    xs = sorted({x for points in lines.values() for x, _ in points})
    top = nice_ceiling(max(y for points in lines.values() for _, y in points))
    span = max(log10(xs[-1]) - log10(xs[0]), 1e-9)

    def at(x, y):
        return (LEFT + (log10(x) - log10(xs[0])) / span * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12">',
        f"<title>{escape(y_label)} by {escape(x_label)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for step in range(5):
        y = top * step / 4
        px, py = at(xs[0], y)
        parts.append(f'<line x1="{px:.0f}" y1="{py:.1f}" x2="{WIDTH - RIGHT}" y2="{py:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{px - 8:.0f}" y="{py + 4:.1f}" text-anchor="end">{y:,.0f}</text>')
    for x in xs:
        px, py = at(x, 0)
        parts.append(f'<text x="{px:.1f}" y="{py + 18:.0f}" text-anchor="middle">{x:,}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)" '
                 f'text-anchor="middle">{escape(y_label)}</text>')
    ends = sorted(((at(*points[-1])[1], name) for name, points in lines.items()))
    label_y = {}
    for y, name in ends:  # labels that would overlap move down
        label_y[name] = max([y] + [other + 15 for other in label_y.values() if other + 15 > y])
    for (name, points), colour in zip(lines.items(), COLOURS):
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(*p) for p in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>' for px, py in (at(*p) for p in points)]
        parts.append(f'<text x="{at(*points[-1])[0] + 10:.0f}" y="{label_y[name] + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def nice_ceiling(value):
    """The next 1, 2, 4, 5, 6 or 8 times a power of ten."""
    power = 10 ** int(log10(value)) if value >= 1 else 1
    return next(step * power for step in (1, 2, 4, 5, 6, 8, 10) if step * power >= value)
