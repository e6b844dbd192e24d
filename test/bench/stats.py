"""Medians, spread, and the rows of the table."""

from dataclasses import dataclass, field
from statistics import median, quantiles


def percentile(values, percent):
    """The smallest value that this many per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))]


def quartiles(values):
    """First and third quartile; the value itself where there is but one."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = quantiles(values, n=4, method="inclusive")
    return first, third


def number(value, unit=""):
    """A figure as people read it: three digits, thousands separated."""
    if abs(value) >= 100:
        text = f"{value:,.0f}"
    elif abs(value) >= 10:
        text = f"{value:.1f}"
    else:
        text = f"{value:.2f}"
    return f"{text} {unit}".strip()


@dataclass
class Row:
    """One line of the table: what was measured, each round's figure, and the bar."""

    what: str
    values: list = field(default_factory=list)
    unit: str = ""
    at_least: float = None
    at_most: float = None
    note: str = ""  # the absolute figures behind a ratio, or why there is no figure

    @property
    def median(self):
        return median(self.values) if self.values else None

    @property
    def bar(self):
        if self.at_least is not None:
            return f"≥ {number(self.at_least, self.unit)}"
        if self.at_most is not None:
            return f"≤ {number(self.at_most, self.unit)}" if self.at_most else "none"
        return ""

    @property
    def verdict(self):
        """met, missed, skipped, or '' where there is no bar."""
        if not self.values:
            return "skipped"
        if self.at_least is not None:
            return "met" if self.median >= self.at_least else "missed"
        if self.at_most is not None:
            return "met" if self.median <= self.at_most else "missed"
        return ""

    def cells(self):
        """The line's cells, as text."""
        if not self.values:
            return [self.what, "", "", self.bar, self.verdict, self.note]
        first, third = quartiles(self.values)
        spread = f"{number(first)} to {number(third)}" if len(self.values) > 1 else ""
        return [self.what, number(self.median, self.unit), spread, self.bar, self.verdict, self.note]


HEADINGS = ["what", "median", "middle half", "bar", "", "behind it"]


def ratios(numerators, denominators):
    """Round by round: what was interleaved is compared with its neighbour."""
    return [a / b for a, b in zip(numerators, denominators)]
