#!/usr/bin/env python3
"""Draws the picture of README's demo from its files:
    python3 docs/img/demo.py walk/demo > docs/img/demo.svg

Above: each bar as a candle, drawn from its first to its last trade. Below: θ, the signed dollar flow since the
bar opened, and the Wald threshold ±a at every trade (docs/BARS.md).
"""
import csv, io, json, math, sys, zipfile
from pathlib import Path

FOLDER = Path(sys.argv[1])
BARS = [json.loads(line) for line in open(FOLDER / "replay.jsonl")][26:44]
W, LEFT, RIGHT, TOP, CANDLES, GAP, FLOW = 960, 76, 18, 58, 190, 34, 190
H = TOP + CANDLES + GAP + FLOW + 44
BUY, SELL, INK, SOFT = "#0f9d7a", "#d9534f", "#24292f", "#8c959f"

archive = zipfile.ZipFile(next((FOLDER / "data").glob("*.zip")))
rows = csv.reader(io.TextIOWrapper(archive.open(archive.namelist()[0])))
first, last = BARS[0]["first_trade_id"], BARS[-1]["last_trade_id"]
rows = [r for r in rows if r[0].isdigit()]
ALPHA, MEMORY, TARGET = 0.001, 0.99, 500


def thresholds():
    """The threshold in force at each trade, from the averages before it."""
    sums, recent, seen = [0.0, 0.0, 0.0], 0.0, 0
    for row in rows:
        flow = float(row[1]) * float(row[2]) * (-1 if row[5].lower() == "true" else 1)
        mu, m2, c = sums if seen > TARGET else (s / max(seen, 1) for s in sums)
        spread = max(m2 - mu * mu, 0.0)
        variance = max(spread + 2 * (c - mu * mu * MEMORY / (1 - MEMORY)), spread / 10) or 1.0
        k, a = abs(mu) / variance, max(abs(mu) * TARGET, math.sqrt(variance * TARGET))
        for _ in range(20):
            tanh = math.tanh(a * k)
            slope = tanh + a * k * (1 - tanh * tanh)
            a -= (a * tanh - abs(mu) * TARGET) / slope if slope else 0.0
        yield a
        new = (flow, flow * flow, flow * recent)
        if seen == TARGET:
            sums = [s / TARGET for s in sums]
        seen += 1
        sums = [s + n for s, n in zip(sums, new)] if seen <= TARGET else [s + ALPHA * (n - s) for s, n in zip(sums, new)]
        recent = MEMORY * (recent + flow)


LEVEL = {int(r[0]): a for r, a in zip(rows, thresholds())}
trades = [r for r in rows if first <= int(r[0]) <= last]
t0, t1 = int(trades[0][4]), int(trades[-1][4])


def x(t):
    return LEFT + (W - LEFT - RIGHT) * (t - t0) / (t1 - t0)


def scale(low, high, top, height):
    return lambda v: top + height * (high - v) / (high - low)


price = scale(min(b["low"] for b in BARS), max(b["high"] for b in BARS), TOP, CANDLES)
reach = 1.12 * max(max(abs(b["theta_min"]), abs(b["theta_max"])) for b in BARS)
flow = scale(-reach, reach, TOP + CANDLES + GAP, FLOW)
out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" '
       'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
       f'<rect width="{W}" height="{H}" rx="8" fill="#ffffff"/>',
       f'<text x="{LEFT}" y="26" font-size="16" font-weight="600" fill="{INK}">Dollar imbalance bars: '
       'a bar closes when its signed flow θ reaches the threshold</text>',
       f'<text x="{LEFT}" y="45" font-size="12" fill="{SOFT}">{len(BARS)} bars of {len(trades):,} synthetic trades, UTC; '
       f'<tspan fill="{BUY}">closed by buyers</tspan>, <tspan fill="{SELL}">closed by sellers</tspan></text>']


def text(px, py, words, anchor="end", colour=SOFT):
    out.append(f'<text x="{px:.1f}" y="{py:.1f}" font-size="11" text-anchor="{anchor}" fill="{colour}">{words}</text>')


def rule(py, colour="#eaeef2"):
    out.append(f'<path d="M{LEFT} {py:.1f}H{W - RIGHT}" stroke="{colour}"/>')


lows, highs = min(b["low"] for b in BARS), max(b["high"] for b in BARS)
for step in range(4):
    value = lows + (highs - lows) * step / 3
    rule(price(value))
    text(LEFT - 8, price(value) + 4, f"{value:,.2f}")
for bar in BARS:
    a, b = x(bar["open_time"] // 10**6), x(bar["close_time"] // 10**6)
    colour = BUY if bar["theta"] > 0 else SELL
    body = sorted((price(bar["open"]), price(bar["close"])))
    middle = (a + b) / 2
    out.append(f'<path d="M{middle:.1f} {price(bar["high"]):.1f}V{price(bar["low"]):.1f}" stroke="{colour}"/>'
               f'<rect x="{a + 1:.1f}" y="{body[0]:.1f}" width="{max(b - a - 2, 1.5):.1f}" '
               f'height="{max(body[1] - body[0], 1):.1f}" rx="1.5" fill="{colour}" fill-opacity="0.85"/>')

rule(flow(0), "#d0d7de")
text(LEFT - 8, flow(0) + 4, "θ = 0")
theta, index, points = 0.0, 0, []
for sign in (1, -1):
    text(LEFT - 8, flow(sign * LEVEL[first]) + 4, "threshold", "end", INK)
    edge = "L".join(f"{x(int(r[4])):.1f} {flow(sign * LEVEL[int(r[0])]):.1f}" for r in trades[::12])
    out.append(f'<path d="M{edge}" stroke="{INK}" stroke-width="1.3" fill="none" stroke-linejoin="round"/>')
for row in trades:
    bar = BARS[index]
    theta += float(row[1]) * float(row[2]) * (-1 if row[5].lower() == "true" else 1)
    points.append((x(int(row[4])), flow(theta)))
    if int(row[0]) == bar["last_trade_id"]:
        colour = BUY if theta > 0 else SELL
        kept = [p for i, p in enumerate(points) if i in (0, len(points) - 1) or i % 3 == 0]
        line = "L".join(f"{px:.1f} {py:.1f}" for px, py in kept)
        out.append(f'<path d="M{line}" stroke="{colour}" fill="none" stroke-width="1.1" stroke-linejoin="round"/>'
                   f'<circle cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="3.2" fill="{colour}"/>')
        theta, index, points = 0.0, index + 1, []
minutes = (t1 - t0) // 60000
for mark in range(0, int(minutes) + 1, 30):
    t = (t0 // 1800000 + 1) * 1800000 + mark * 60000
    if t < t1:
        seconds = t // 1000 % 86400
        text(x(t), H - 16, f"{seconds // 3600:02}:{seconds // 60 % 60:02}", "middle")
        out.append(f'<path d="M{x(t):.1f} {H - 34}v6" stroke="{SOFT}"/>')
out.append("</svg>")
print("\n".join(out))
