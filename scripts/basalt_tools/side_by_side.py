"""Basalt beside etcd: which measurements there are, which of them stand in a row, and what comes out
of the samples. Values in, values out."""

import dataclasses
import statistics

SPREAD_MAX = 0.30
SYSTEMS = ("etcd", "basalt")  # in the order of a turn


@dataclasses.dataclass(frozen=True)
class Measurement:
    system: str
    name: str
    words: tuple  # for the generator
    half_rate_of: str = ""  # of etcd, in the same turn
    shards: int = 0  # of Basalt's cluster; 0: as many as the run was asked for


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    basalt: str  # names of measurements
    etcd: str
    wanted: str = ""  # of the ratios, at least or at most
    put: str = ""  # of Basalt's, beside which the row's p50 stands too


def _etcd(name, workload, clients, *words, **more):
    return Measurement("etcd", name, ("--workload", workload, "--clients", str(clients), *words),
                       **more)


def _basalt(name, workload, clients, *words, **more):
    return Measurement("basalt", name, ("--workload", workload, "--clients", str(clients), *words),
                       **more)


MEASUREMENTS = (
    _etcd("put_1", "put", 1),
    _etcd("put_64", "put", 64),
    _etcd("put_256", "put", 256),
    _etcd("get_256", "get", 256),
    _etcd("txn_256", "put", 256, "--txn-puts", "64"),
    _etcd("txn_1024", "put", 1024, "--txn-puts", "64"),
    _etcd("put_half_rate", "put", 256, half_rate_of="put_256"),
    _etcd("transfer_64", "txn", 64),
    _etcd("transfer_64_zipf", "txn", 64, "--zipf"),
    _etcd("transfer_5_64", "txn", 64, "--keys-per-txn", "5"),
    _basalt("put_1", "put", 1),
    _basalt("put_64", "put", 64),
    _basalt("put_256", "put", 256),
    _basalt("put_1024", "put", 1024),
    _basalt("put_unary_256", "put", 256, "--unary"),
    _basalt("get_lease_256", "get", 256),
    _basalt("get_read_index_256", "get", 256, "--read", "read-index"),
    _basalt("get_unary_256", "get", 256, "--unary"),
    _basalt("put_half_rate", "put", 256, half_rate_of="put_256"),
    _basalt("put_64_one_group", "put", 64, shards=1),
    _basalt("put_256_one_group", "put", 256, shards=1),
    _basalt("put_half_rate_one_group", "put", 256, half_rate_of="put_256", shards=1),
    _basalt("transfer_64", "txn", 64),
    _basalt("transfer_64_zipf", "txn", 64, "--zipf"),
    _basalt("transfer_5_64", "txn", 64, "--keys-per-txn", "5"),
)

ROWS = (
    Row("put_1", "durable put, 1 client, streaming", "put_1", "put_1", "p50 0.9x"),
    Row("put_64", "durable put, 64 clients, streaming", "put_64", "put_64", "2.5x"),
    Row("put_256", "durable put, 256 clients, streaming", "put_256", "put_256",
        "4x; CPU 0.25x"),
    Row("put_unary_256", "durable put, 256 clients, one unary RPC each", "put_unary_256",
        "put_256", "1.2x"),
    Row("get_lease_256", "linearizable get by lease, 256 clients, streaming", "get_lease_256",
        "get_256", "10x"),
    Row("get_read_index_256", "linearizable get by ReadIndex, 256 clients, streaming",
        "get_read_index_256", "get_256", "5x"),
    Row("get_unary_256", "linearizable get, 256 clients, one unary RPC each", "get_unary_256",
        "get_256", "2x"),
    Row("put_txn_256", "durable put, 256 clients, streaming; etcd 64 puts a Txn", "put_256",
        "txn_256"),
    Row("put_txn_1024", "durable put, 1,024 clients, streaming; etcd 64 puts a Txn", "put_1024",
        "txn_1024"),
    Row("put_half_rate", "durable put at half of etcd's rate, 256 clients", "put_half_rate",
        "put_half_rate", "p99 0.5x"),
    Row("put_64_one_group", "durable put, 64 clients, streaming; one Raft group", "put_64_one_group",
        "put_64"),
    Row("put_256_one_group", "durable put, 256 clients, streaming; one Raft group",
        "put_256_one_group", "put_256"),
    Row("put_half_rate_one_group", "durable put at half of etcd's rate, 256 clients; one Raft group",
        "put_half_rate_one_group", "put_half_rate"),
    Row("txn_64", "transfer between 2 shards, 64 clients; etcd a Txn of one compare and 2 puts",
        "transfer_64", "transfer_64", "4x", put="put_64"),
    Row("txn_64_zipf", "the same, keys by Zipf's law", "transfer_64_zipf", "transfer_64_zipf"),
    Row("txn_5_64", "transfer among 5 shards, 64 clients; etcd a Txn of one compare and 5 puts",
        "transfer_5_64", "transfer_5_64"),
)


BUDGET = tuple(_basalt(f"{workload}_{clients}", workload, clients)
               for workload in ("put", "get") for clients in (1, 64, 256, 1024))

# What the threads of a node do, by their names, of which the kernel keeps 15 letters.
BUDGET_PARTS = (
    ("wire", ("nexting_thread", "default-executo", "resolver-execut", "grpc_global_tim")),
    ("Raft", ("groups",)),
    ("log", ("log", "write-ahead")),
    ("apply", ("apply", "drain")),
    ("flush, compaction", ("rocksdb:low", "rocksdb:high", "rocksdb:bottom")),
)


def budget_parts(times):
    """CPU time by part, of that by thread."""
    parts = {name: 0 for name, _ in BUDGET_PARTS}
    parts["rest"] = 0
    for thread, time_us in times.items():
        name = next((name for name, threads in BUDGET_PARTS if thread in threads), "rest")
        parts[name] += time_us
    return parts


def budget_figures(samples):
    """By measurement: medians of what an operation costs, in all and by part."""
    figures = {}
    for measurement in BUDGET:
        chosen = [sample for sample in samples if sample["measurement"] == measurement.name]
        parts = {name: statistics.median(sample["parts_us_per_op"][name] for sample in chosen)
                 for name in chosen[0]["parts_us_per_op"]}
        figures[measurement.name] = _side(chosen, "basalt", measurement.name) | {"parts_us": parts}
    return figures


def budget_table(figures):
    """Markdown lines of budget_figures."""
    names = [name for name, _ in BUDGET_PARTS] + ["rest"]
    heads = ["load", "1/s", "p50 ms", "p99 ms", "servers' CPU us", *names, "generator", "spread"]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for measurement, side in figures.items():
        workload, clients = measurement.split("_")
        cells = [f"{workload}, {int(clients):,} client" + ("s" if clients != "1" else ""),
                 f"{side['per_s']:,.0f}", f"{side['p50_us'] / 1000:.2f}",
                 f"{side['p99_us'] / 1000:.2f}", f"{side['server_cpu_us_per_op']:.1f}"]
        cells += [f"{side['parts_us'][name]:.1f}" for name in names]
        cells += [f"{side['generator_cpu_us_per_op']:.1f}", f"{side['spread']:.0%}"]
        yield "| " + " | ".join(cells) + " |"


def rows_named(names):
    """All rows, or those of the names, in order. ValueError names one that is not there."""
    if not names:
        return list(ROWS)
    by_name = {row.name: row for row in ROWS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"no row {unknown[0]}; there are {', '.join(by_name)}")
    return [row for row in ROWS if row.name in names]


def measurements_of(rows, system):
    """What one turn of the system measures for the rows, each once, in order."""
    wanted = {getattr(row, system) for row in rows}
    if system == "basalt":
        wanted |= {row.put for row in rows if row.put}
    if system == "etcd":
        wanted |= {measurement.half_rate_of for measurement in MEASUREMENTS
                   if measurement.half_rate_of and any(measurement.name in (row.etcd, row.basalt)
                                                       for row in rows)}
    return [measurement for measurement in MEASUREMENTS
            if measurement.system == system and measurement.name in wanted]


def blocks_of(rows):
    """The rows in blocks, in order: those that need a measurement in common stand in one. The turns
    of a block follow each other closely, so that a machine whose speed drifts spreads them less."""
    blocks = []  # of [rows, what they need]
    for row in rows:
        needs = {one for system in SYSTEMS for one in measurements_of([row], system)}
        block = [[row], needs]
        for other in [other for other in blocks if other[1] & needs]:
            block = [other[0] + block[0], other[1] | block[1]]
            blocks.remove(other)
        blocks.append(block)
    order = {row: place for place, row in enumerate(rows)}
    ordered = [sorted(block, key=order.get) for block, _ in blocks]
    return sorted(ordered, key=lambda block: order[block[0]])


def spread(values):
    """The distance between the extremes, as a share of the median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else float("inf")


def _side(samples, system, name):
    chosen = [sample for sample in samples
              if sample["system"] == system and sample["measurement"] == name]
    rates = [sample["throughput"] for sample in chosen]
    median = statistics.median
    return {"per_s": median(rates),
            "spread": spread(rates),
            "p50_us": median(sample["latency_us"]["p50"] for sample in chosen),
            "p99_us": median(sample["latency_us"]["p99"] for sample in chosen),
            "server_cpu_us_per_op": median(sample["server_cpu_us_per_op"] for sample in chosen),
            "generator_cpu_us_per_op": median(sample["generator_cpu_us_per_op"]
                                              for sample in chosen)}


def compare(row, samples):
    """Medians of both sides and their ratios, Basalt's to etcd's; `void` when either side's rates
    spread too far for a ratio to mean anything."""
    basalt = _side(samples, "basalt", row.basalt)
    etcd = _side(samples, "etcd", row.etcd)
    result = {"basalt": basalt, "etcd": etcd,
              "void": max(basalt["spread"], etcd["spread"]) > SPREAD_MAX}
    if not result["void"]:
        result["ratio"] = {key: round(basalt[key] / etcd[key], 6) if etcd[key] else None
                           for key in ("per_s", "p50_us", "p99_us", "server_cpu_us_per_op")}
        if row.put:
            put = _side(samples, "basalt", row.put)
            result["to_put"] = {"p50_us": round(basalt["p50_us"] / put["p50_us"], 6)}
    return result


def figures_of(rows, samples):
    """What a document may cite: nothing of a void row."""
    compared = {row.name: compare(row, samples) for row in rows}
    return {name: result for name, result in compared.items() if not result["void"]}


def joined(earlier, figures, samples):
    """These figures and samples, and those that an earlier record (or None) has of rows that were not
    measured anew, not even in part. Attempts at rows that were add up."""
    if earlier is None:
        return figures, samples
    anew = {(sample["system"], sample["measurement"]) for sample in samples}

    def needs(name):
        return {(one.system, one.name) for system in SYSTEMS
                for one in measurements_of(rows_named([name]), system)}
    before = earlier["figures"]
    kept = {name for name in before["taken"] if not needs(name) & anew}
    wanted = set().union(anew, *(needs(name) for name in kept))
    taken = {name: before["taken"][name] for name in kept}
    for name, how in figures["taken"].items():
        earlier_attempts = before["taken"].get(name, {}).get("attempts", 0)
        taken[name] = how | {"attempts": how["attempts"] + earlier_attempts}
    rows = {name: row for name, row in before["rows"].items() if name in kept}
    return (figures | {"rows": rows | figures["rows"], "taken": taken},
            [sample for sample in earlier["samples"]
             if (sample["system"], sample["measurement"]) in wanted - anew] + samples)


def misfit(earlier, settings):
    """Why rows measured with these settings do not belong into the record; empty: they do."""
    if earlier is None:
        return ""
    theirs = earlier["figures"].get("settings")
    if theirs == settings:
        return ""
    return f"the record of this commit is of other settings, {theirs}; these are {settings}"


def page_table(figures, link):
    """Markdown lines of a record's figures, for a document: rates and ratios, each with its link; "-"
    where a row was not measured."""
    def cell(row, path, form):
        value = figures["rows"][row.name]
        for key in path.split("."):
            value = value[key]
        return f"[{form.format(value)}]({link}#figures.rows.{row.name}.{path})"
    heads = ["row", "wanted", "Basalt 1/s", "etcd 1/s", "ratio", "p50 ratio", "p99 ratio",
             "CPU ratio"]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in ROWS:
        measured = row.name in figures.get("taken", figures.get("attempts", {}))
        cells = ["void" if measured else "-", "", "", "", "", ""]
        if row.name in figures["rows"]:
            cells = [cell(row, "basalt.per_s", "{:,.0f}"), cell(row, "etcd.per_s", "{:,.0f}")]
            cells += [cell(row, f"ratio.{key}", "{:.2f}x")
                      for key in ("per_s", "p50_us", "p99_us", "server_cpu_us_per_op")]
        wanted = f"{row.wanted} <!-- figure: goal -->" if row.wanted else ""
        yield "| " + " | ".join([row.title, wanted, *cells]) + " |"


def budget_page_table(figures, link):
    """Likewise, of a budget."""
    names = [name for name, _ in BUDGET_PARTS]
    heads = ["load", "operations/s", "spread", "p50 ms", "p99 ms", "servers, CPU us", *names,
             "generator"]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for measurement, side in figures.items():
        workload, clients = measurement.split("_")
        at = f"{link}#figures.{measurement}"
        cells = [f"{workload}, {int(clients):,} client" + ("s" if clients != "1" else ""),
                 f"[{side['per_s']:,.0f}]({at}.per_s)", f"[{side['spread']:.2f}]({at}.spread)",
                 f"{side['p50_us'] / 1000:.2f}", f"{side['p99_us'] / 1000:.2f}",
                 f"[{side['server_cpu_us_per_op']:.1f}]({at}.server_cpu_us_per_op)"]
        cells += [f"{side['parts_us'][name]:.1f}" for name in names]
        yield "| " + " | ".join([*cells, f"{side['generator_cpu_us_per_op']:.1f}"]) + " |"


def beside_puts(rows, samples):
    """A line for each row that stands beside a put."""
    for row in rows:
        ratio = compare(row, samples).get("to_put")
        if ratio:
            yield f"{row.name}: its p50 is {ratio['p50_us']:.2f}x of that of Basalt's {row.put}"


def faults_of(rows, samples, syncs):
    """What makes a run no measurement, a line each. `syncs` holds, for each system, the calls that
    each of its nodes made, by name."""
    for sample in samples:
        if sample["errors"]:
            yield (f"{sample['system']} {sample['measurement']}: {sample['errors']} operations "
                   "failed")
    connections = {system: [sample["connections"] for sample in samples
                            if sample["system"] == system] for system in SYSTEMS}
    if not 0 < max(connections["basalt"]) <= min(connections["etcd"]):
        yield f"Basalt had more connections than etcd: {connections}"
    for system in SYSTEMS:
        if not all(node.get("fdatasync", 0) > 0 for node in syncs[system]):
            yield f"{system}: a node made no fdatasync call: {syncs[system]}"
    for row in rows:
        if compare(row, samples)["void"]:
            yield f"{row.name}: void, rates spread by more than {SPREAD_MAX:.0%}"


def _cells(result):
    basalt, etcd = result["basalt"], result["etcd"]
    both = [("per_s", "{:,.0f}", 1), ("p50_us", "{:,.2f}", 1000), ("p99_us", "{:,.2f}", 1000),
            ("server_cpu_us_per_op", "{:,.1f}", 1)]
    for key, form, unit in both:
        ratio = result.get("ratio", {}).get(key)
        yield form.format(basalt[key] / unit)
        yield form.format(etcd[key] / unit)
        yield "void" if result["void"] else "-" if ratio is None else f"{ratio:.2f}x"
    yield f"{max(basalt['spread'], etcd['spread']):.0%}"


def table(rows, samples):
    """Markdown lines: medians of Basalt and of etcd and the ratio, four times over."""
    heads = ["row", "Basalt 1/s", "etcd 1/s", "ratio", "Basalt p50 ms", "etcd p50 ms", "ratio",
             "Basalt p99 ms", "etcd p99 ms", "ratio", "Basalt CPU us", "etcd CPU us", "ratio",
             "spread"]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join([row.title, *_cells(compare(row, samples))]) + " |"
