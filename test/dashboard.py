#!/usr/bin/env python3
"""Lets an application work for a while under Prometheus's eyes, then draws the dashboard.

    dashboard.py SOURCE SCRATCH MINUTES

Called by test/dashboard.  Writes SCRATCH/dashboard.svg: the panels of docs/grafana.json, each
drawn from what its own queries return.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from html import escape

SOURCE, SCRATCH, MINUTES = sys.argv[1], sys.argv[2], float(sys.argv[3])
EXPORTER, PROMETHEUS = "127.0.0.1:9480", "127.0.0.1:9481"
COLOURS = ("#2f6db5", "#c8551b", "#3a8a3f", "#8a3a8a", "#b59b2f", "#2fa5a5", "#777777")
COLUMN, ROW, PAD = 40, 30, 8        # pixels per unit of Grafana's grid; a panel's inner edge


def psql(sql):
    subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql], check=True, stdout=subprocess.DEVNULL)


# -- what happens --------------------------------------------------------------

def set_up():
    subprocess.run(["psql", "-Xq", "-f", f"{SOURCE}/test/featul.sql"], check=True)
    psql("""
        INSERT INTO "user" (id, name, email, email_verified) VALUES ('u', 'Olivia', 'olivia@example.com', true);
        INSERT INTO workspace (id, name, slug, plan, owner_id, domain)
            VALUES ('w', 'Acme', 'acme', 'starter', 'u', 'https://acme.example.com');
        INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b', 'w', 'Ideas', 'ideas', 'u');
        CREATE EXTENSION featul_integrations;
        SELECT integration_attach();
        SET featul_integrations.user_id = 'u';
        SELECT integration_connect('acme', 'slack', 'https://hooks.slack.com/services/T000/B000/XXXX');
        SELECT integration_connect('acme', 'discord', 'https://discord.com/api/webhooks/1148271649/c2VjcmV0');
        SELECT integration_connect('acme', 'webhook', 'https://hook.example.com/featul')""")


def answer(steps):
    path = f"{SCRATCH}/receiver/script.json"
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"hook.example.com/": steps}, file)
    os.rename(path + ".new", path)


def work():
    """Two posts every three seconds; the endpoint is down in the second quarter, slow in the last."""
    start = time.monotonic()
    end = start + MINUTES * 60
    number = 0
    kind = None
    while (now := time.monotonic()) < end:
        quarter = int((now - start) / (end - start) * 4)
        if quarter != kind:
            kind = quarter
            answer(([], [{"status": 503}], [], [{"delay": 0.4}])[quarter])
        number += 1
        psql(f"INSERT INTO post (id, board_id, title, content, slug, author_id) "
             f"VALUES ('p{number}', 'b', 'Idea {number}', 'x', 'idea-{number}', 'u')")
        time.sleep(1.5)


# -- what Prometheus says of it -------------------------------------------------

def ask(path, **parameters):
    url = f"http://{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=20) as response:
        return json.load(response)["data"]["result"]


def await_prometheus():
    for _ in range(300):
        try:
            if ask("query", query="featul_integrations_worker_up"):
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    sys.exit("Prometheus does not see the worker.")


def series(panel, start, end):
    """{legend: [(second, value), ...]} of all of a panel's queries, as Grafana would fill them in."""
    found = {}
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "15s").replace("$database", ".*")
        for one in ask("query_range", query=query, start=start, end=end, step=1):
            legend = re.sub(r"\{\{(\w+)\}\}", lambda name: one["metric"].get(name[1], ""), target["legendFormat"])
            points = [(at - start, float(value)) for at, value in one["values"] if value != "NaN"]
            if points:
                found[legend] = points
    return found


# -- drawing --------------------------------------------------------------------

def text(x, y, words, size=11, fill="#555555", anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def number(value, unit):
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.0f} s"
    return f"{value:.3g}" + {"reqps": "/s", "ops": "/s"}.get(unit, "")


def nice_ceiling(value):
    step = 10 ** len(str(int(value))) / 100 if value >= 1 else 0.01
    return next(n * step * 10 ** power for power in range(12) for n in (1, 2, 5) if n * step * 10 ** power >= value)


def stat(lines, width, height):
    (name, points), = list(lines.items())[:1]
    return [text(width / 2, height / 2 + 20, f"{points[-1][1]:.0f}", 52, "#3a8a3f", "middle", "bold"),
            text(width / 2, height - PAD - 4, name, anchor="middle")]


def chart(lines, width, height, unit, seconds):
    left, right, top, bottom = 48, 20, 30, 56
    ceiling = nice_ceiling(max(value for points in lines.values() for _, value in points) or 1)
    parts = []
    for step in range(5):
        y = height - bottom - step / 4 * (height - top - bottom)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(text(left - 5, y + 4, number(ceiling * step / 4, unit), 10, anchor="end"))
    for minute in range(int(seconds // 60) + 1):
        x = left + minute * 60 / seconds * (width - left - right)
        parts.append(text(x, height - bottom + 13, f"{minute} min", 10, anchor="middle"))
    x, y = left, height - 26
    for (name, points), colour in zip(sorted(lines.items()), COLOURS):
        path = " ".join(f"{left + at / seconds * (width - left - right):.1f},"
                        f"{height - bottom - value / ceiling * (height - top - bottom):.1f}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if x > left and x + 20 + 5.5 * len(name) > width:
            x, y = left, y + 15
        parts.append(f'<rect x="{x}" y="{y - 5}" width="9" height="3" fill="{colour}"/>')
        parts.append(text(x + 12, y, name, 10))
        x += 20 + 5.5 * len(name)
    return parts


def draw(dashboard, start, end):
    panels = dashboard["panels"]
    width = max(p["gridPos"]["x"] + p["gridPos"]["w"] for p in panels) * COLUMN
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) * ROW
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
             f'font-family="sans-serif"><title>{escape(dashboard["title"])}</title>'
             f'<rect width="{width}" height="{height}" fill="#f4f5f5"/>']
    for panel in panels:
        grid = panel["gridPos"]
        w, h = grid["w"] * COLUMN - 6, grid["h"] * ROW - 6
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
        lines = series(panel, start, end)
        if not lines:
            sys.exit(f"No data for {panel['title']}.")
        drawn = stat(lines, w, h) if panel["type"] == "stat" else chart(lines, w, h, unit, end - start)
        parts.append(f'<g transform="translate({grid["x"] * COLUMN + 3} {grid["y"] * ROW + 3})">'
                     f'<rect width="{w}" height="{h}" fill="#ffffff" stroke="#dddddd" rx="3"/>')
        parts.append(text(PAD, 18, panel["title"], 12, "#222222", weight="bold"))
        parts += drawn + ["</g>"]
    return "\n".join(parts + ["</svg>\n"])


def main():
    set_up()
    with open(f"{SCRATCH}/exporter.log", "w") as log:
        watchers = [
            subprocess.Popen(["prometheus-postgres-exporter", f"--web.listen-address={EXPORTER}",
                              f"--extend.query-path={SOURCE}/docs/prometheus.yaml"], stdout=log, stderr=log),
            subprocess.Popen(["prometheus", f"--config.file={SCRATCH}/prometheus.yml",
                              f"--storage.tsdb.path={SCRATCH}/prometheus", f"--web.listen-address={PROMETHEUS}"],
                             stdout=log, stderr=log)]
    try:
        await_prometheus()
        start = time.time()
        work()
        with open(f"{SOURCE}/docs/grafana.json", encoding="utf-8") as file:
            picture = draw(json.load(file), start, time.time())
        with open(f"{SCRATCH}/dashboard.svg", "w", encoding="utf-8") as file:
            file.write(picture)
    finally:
        for watcher in watchers:
            watcher.terminate()


if __name__ == "__main__":
    main()
