"""Measures what design promises about cost, prints a table, judges the bars.

Called by test/bench/run, which installs what is needed first.
"""

import argparse
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lab import TREE, BenchError, Lab
from parts import capture, delivery, growth, idle, independence, latency, node, peers, starvation
from stats import HEADINGS, Row

PARTS = {part.NAME: part for part in (capture, delivery, peers, latency, node, independence, starvation, growth, idle)}


@dataclass
class Scale:
    """How much is measured."""

    capture_rounds: int = 40
    compared_rounds: int = 15  # where there is no bar
    capture_seconds: int = 2
    bulk_rounds: int = 9
    deliveries: int = 20_000
    delivery_rounds: int = 7
    peer_deliveries: int = 20_000
    peer_rounds: int = 3
    latency_rounds: int = 3
    latency_seconds: int = 20
    node_rounds: int = 5
    node_transactions: int = 20_000
    independence_rounds: int = 5
    dead: int = 1_000_000
    silent: int = 100_000
    silent_cycles: int = 3
    tenants: int = 10_000
    open_seconds: int = 600
    bad: int = 1_000
    learning_seconds: int = 40
    starvation_seconds: int = 40
    idle_settle: int = 3
    idle_seconds: int = 60
    growth_rounds: int = 3
    sizes: tuple = (1_000, 10_000, 100_000, 1_000_000)
    worker_counts: tuple = (1, 2, 4)


QUICK = Scale(
    capture_rounds=3, compared_rounds=2, capture_seconds=1, bulk_rounds=3, deliveries=3_000, delivery_rounds=2,
    peer_deliveries=1_000, peer_rounds=1, latency_rounds=1, latency_seconds=3, node_rounds=2,
    node_transactions=2_000, independence_rounds=1,
    dead=20_000, silent=2_000, silent_cycles=1, tenants=500, open_seconds=3, bad=200, learning_seconds=5, starvation_seconds=5, idle_settle=1, idle_seconds=5,
    growth_rounds=1, sizes=(1_000, 5_000), worker_counts=(1, 2),
)


def text_table(rows):
    """The rows as a table for a terminal."""
    cells = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells)


def markdown_table(rows):
    """The rows as a table for docs/performance.md."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
    for row in rows:
        cells = row.cells()
        cells[4] = "**missed**" if cells[4] == "missed" else cells[4]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine(lab):
    """What the figures were measured on, in one line."""
    cpu = next(line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
               if line.startswith("model name"))
    server = lab.run([lab.pg("pg_config"), "--version"]).split("(")[0].strip()
    cores = len([line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")])
    return (f"{time.strftime('%Y-%m-%d', time.gmtime())}, {cores} cores ({cpu}), Linux {platform.release().split('-')[0]}, "
            f"{server}")


def write_part(name, rows, where):
    """Replaces a part's table in docs/performance.md, between its two marks."""
    path = TREE / "docs" / "performance.md"
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    before, found, rest = path.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise BenchError(f"{path} has no marks {begin} and {end}")
    path.write_text(f"{before}{begin}\n\n{markdown_table(rows)}\n\nMeasured {where}.\n\n{end}{after}")


def main():
    parser = argparse.ArgumentParser(prog="test/bench/run", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="part", help=f"any of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a few minutes, small figures: shows that it works, proves nothing")
    parser.add_argument("--no-bars", action="store_true", help="a missed bar is shown, but is no failure")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    scale = QUICK if options.quick else Scale()
    chosen = options.parts or list(PARTS)
    missed = 0

    with Lab() as lab:
        where = machine(lab)
        print(f"{where}{' (quick)' if options.quick else ''}", flush=True)
        for name in chosen:
            start = time.monotonic()
            try:
                rows = PARTS[name].rows(lab, scale)
            except BenchError:
                print(lab.server_log()[-4000:], file=sys.stderr)
                raise
            missed += sum(row.verdict == "missed" for row in rows)
            print(f"\n{name} ({time.monotonic() - start:.0f} s)\n{text_table(rows)}", flush=True)
            if options.write:
                write_part(name, rows, where)
        if options.write:
            for file, svg in lab.plots.items():
                (TREE / "docs" / file).write_text(svg)
    print(f"\n{missed} bars missed" if missed else "\nall bars met")
    return 1 if missed and not options.no_bars else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"test/bench/run: {error}")
