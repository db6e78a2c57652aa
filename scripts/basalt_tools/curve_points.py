"""Curves of Basalt alone: which points there are, what a point's samples come to, and what is wanted
of a curve. Values in, values out."""

import dataclasses
import statistics

from basalt_tools.side_by_side import SPREAD_MAX, spread

CLIENTS = (1, 16, 64, 256, 1024, 4096)
KEYS = (10_000, 100_000, 1_000_000, 10_000_000)
VALUE_SIZES = (256, 1024, 16 * 1024)
SHARDS = (1, 3, 9)
WORKLOADS = ("put", "get")

CLIENTS_DEFAULT = 256
KEYS_DEFAULT = 10_000
VALUE_SIZE_DEFAULT = 256
SHARDS_DEFAULT = 8

# Of the rate at the first point, the least at the second.
WANTED = {"clients": (256, 4096, 0.9), "keys": (100_000, 10_000_000, 0.6)}


@dataclasses.dataclass(frozen=True)
class Point:
    curve: str
    workload: str
    at: int  # of what the curve is over
    clients: int = CLIENTS_DEFAULT
    keys: int = KEYS_DEFAULT
    value_size: int = VALUE_SIZE_DEFAULT
    shards: int = SHARDS_DEFAULT

    @property
    def name(self):
        return f"{self.workload}_{self.at}"

    @property
    def words(self):
        """For the generator."""
        return ("--workload", self.workload, "--clients", str(self.clients), "--keys",
                str(self.keys), "--value-size", str(self.value_size))


def _curve(curve, field, values, **more):
    return tuple(Point(curve, workload, value, **{field: value}, **more)
                 for value in values for workload in WORKLOADS)


CURVES = {
    # Each client of a put writes keys of its own.
    "clients": _curve("clients", "clients", CLIENTS),
    "keys": _curve("keys", "keys", KEYS),
    "values": _curve("values", "value_size", VALUE_SIZES),
    "shards": _curve("shards", "shards", SHARDS),
}

TITLES = {"clients": "clients", "keys": "keys", "values": "bytes a value", "shards": "shards"}


def clusters_of(points):
    """The points by the cluster that they share: one of a layout and of a size of the data, since
    more data than a point asks for would change it. In order."""
    groups = {}
    for point in points:
        groups.setdefault((point.shards, point.keys), []).append(point)
    return groups


def figures_of(samples):
    """By curve and point: medians, and whether the rates spread too far to mean anything."""
    figures = {}
    for sample in samples:
        figures.setdefault(sample["curve"], {}).setdefault(sample["point"], []).append(sample)
    return {curve: {point: _side(chosen) for point, chosen in points.items()}
            for curve, points in figures.items()}


def _side(chosen):
    def median(take):
        return round(statistics.median(take(sample) for sample in chosen), 3)
    rates = [sample["throughput"] for sample in chosen]
    side = {"per_s": median(lambda sample: sample["throughput"]),
            "runs": len(chosen), "spread": round(spread(rates), 3),
            "void": spread(rates) > SPREAD_MAX}
    for key in ("p50", "p99", "p999"):
        side[f"{key}_ms"] = median(lambda sample, at=key: sample["latency_us"][at] / 1000)
    for key in ("server_cpu_us_per_op", "generator_cpu_us_per_op", "block_misses_per_op",
                "data_block_misses_per_op", "compacted_mb", "held_writes"):
        side[key] = median(lambda sample, at=key: sample[at])
    return side


def shares_of(figures):
    """By curve and workload: the rate at the far point as a share of that at the near one, where
    both were measured and neither is void."""
    shares = {}
    for curve, (near, far, _) in WANTED.items():
        for workload in WORKLOADS:
            sides = [figures.get(curve, {}).get(f"{workload}_{at}") for at in (near, far)]
            if None in sides or any(side["void"] for side in sides):
                continue
            shares.setdefault(curve, {})[workload] = round(sides[1]["per_s"] / sides[0]["per_s"], 3)
    return shares


def faults_of(figures, samples):
    """What makes it no measurement, a line each."""
    for sample in samples:
        if sample["errors"]:
            yield f"{sample['curve']} {sample['point']}: {sample['errors']} operations failed"
        if sample["absent"]:
            yield f"{sample['curve']} {sample['point']}: {sample['absent']} gets found nothing"
    for curve, points in figures.items():
        for point, side in points.items():
            if side["void"]:
                yield f"{curve} {point}: void, rates spread by more than {SPREAD_MAX:.0%}"


def misses_of(shares):
    """What a curve falls below, a line each."""
    for curve, (near, far, least) in WANTED.items():
        for workload, share in shares.get(curve, {}).items():
            if share < least:
                yield (f"{curve}: {workload}s at {far:,} reach {share:.0%} of those at {near:,}; "
                       f"wanted are {least:.0%}")


def _linked(key, text, link):
    return f"[{text}]({link}.{key})" if link else text


def table(curve, points, link=None):
    """Markdown lines of one curve's figures, a row for each place on it. `link`: what a rate links
    to, a record's path up to the curve."""
    places = sorted({int(name.split("_")[1]) for name in points})
    heads = [TITLES[curve]]
    for workload in WORKLOADS:
        heads += [f"{workload}s/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU us"]
        if curve == "keys":
            heads += [f"block misses a {workload}"]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for place in places:
        cells = [f"{place:,}"]
        for workload in WORKLOADS:
            side = points.get(f"{workload}_{place}")
            width = 6 if curve == "keys" else 5
            if side is None or side["void"]:
                cells += ["void" if side else "-"] + [""] * (width - 1)
                continue
            to = f"{link}.{workload}_{place}" if link else None
            cells += [_linked("per_s", f"{side['per_s']:,.0f}", to),
                      _linked("p50_ms", f"{side['p50_ms']:.2f}", to),
                      _linked("p99_ms", f"{side['p99_ms']:.2f}", to),
                      _linked("p999_ms", f"{side['p999_ms']:.2f}", to),
                      _linked("server_cpu_us_per_op", f"{side['server_cpu_us_per_op']:.1f}",
                              to)]
            if curve == "keys":
                cells.append(_linked("block_misses_per_op", f"{side['block_misses_per_op']:.2f}",
                                     to))
        yield "| " + " | ".join(cells) + " |"


def shares_table(shares, link=None):
    """Markdown lines: what is wanted of curves, and what they reach. `link`: a record's path up to
    the shares."""
    yield "| of the rate | wanted | puts | gets |"
    yield "|---|---|---|---|"
    for curve, (near, far, least) in WANTED.items():
        cells = [f"{far:,} {TITLES[curve]}, of that of {near:,}", f"{least}"]
        for workload in WORKLOADS:
            share = shares.get(curve, {}).get(workload)
            cells.append("void" if share is None else
                         _linked(workload, f"{share:.2f}", f"{link}.{curve}" if link else None))
        yield "| " + " | ".join(cells) + " |"


def tables(figures, link=None):
    """All of it. `link`: a record's path."""
    yield from shares_table(figures["shares"], f"{link}#figures.shares" if link else None)
    for curve in CURVES:
        if curve in figures:
            yield ""
            yield from table(curve, figures[curve], f"{link}#figures.{curve}" if link else None)
