"""Imports, restarts, and the work behind puts: how each is measured, and what is wanted of it."""

import contextlib
import json
import pathlib
import random
import statistics
import subprocess
import threading
import time

from basalt_tools import generator
from basalt_tools.local_cluster import CommandFailed, LocalCluster, binary, shard_list, wait_for
from basalt_tools.node_metrics import Counters
from basalt_tools.slots import ShardTable

NODES = (1, 2, 3)
IMPORT_VALUE_BYTES = (256, 1024)
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

WANTED_IMPORT_MB_PER_S = 20
WANTED_RESTART_S = 10

# Small, so that what takes minutes by the default settings goes on all the time; the values are large
# and the puts few, since on a machine that is busy with puts alone heartbeats come late without any
# work behind them. The node that is killed leads nothing: what is wanted is that no leader is lost by
# the work, not by the kill.
BACKGROUND_FLAGS = "--write-buffer 32MiB --log-retain 16MiB"
BACKGROUND_VALUE_BYTES = 4096
UNSTARTED_S_MAX = 0.02
KILLED = 3
KILLED_FLAGS = f"{BACKGROUND_FLAGS} --leader-priority 0"
STALL_FLAGS = "--write-buffer 16MiB"
STALL_VALUE_BYTES = 16 * 1024

WORK = {
    "campaigns": ("basalt_raft_campaigns_total", {}),
    "leaderships_lost": ("basalt_raft_leaderships_lost_total", {}),
    "heartbeats_missed": ("basalt_raft_heartbeats_missed_total", {}),
    "ticks_missed": ("basalt_raft_ticks_missed_total", {}),
    "flushes": ("basalt_storage_flushes_total", {}),
    "compactions": ("basalt_storage_compactions_total", {}),
    "compacted_bytes": ("basalt_storage_compacted_bytes_total", {}),
    "held_writes": ("basalt_storage_held_writes_total", {}),
    "held_s": ("basalt_storage_held_seconds_total", {}),
    "proposals_put_off": ("basalt_raft_proposals_refused_total", {}),
    "overloaded_answers": ("basalt_requests_total", {"code": "overloaded"}),
    "checkpoints_sent": ("basalt_checkpoints_sent_total", {}),
}


# --- import


def write_rows(path, value_bytes, total_bytes):
    """JSON lines in the order of keys, as an export writes them. Returns (rows, bytes of keys and
    values)."""
    draw = random.Random(value_bytes)
    letters = bytes(LETTERS[byte % 64] for byte in range(256))
    row_bytes = len("import:") + 10 + value_bytes
    rows = total_bytes // row_bytes
    with open(path, "wb", buffering=1 << 20) as file:
        for row in range(rows):
            value = draw.randbytes(value_bytes).translate(letters)
            file.write(b'{"key":"import:%010d","value":"%s"}\n' % (row, value))
    return rows, rows * row_bytes


def measure_imports(arguments, folder):
    for value_bytes in IMPORT_VALUE_BYTES:
        path = folder / f"rows-{value_bytes}.jsonl"
        rows, row_bytes = write_rows(path, value_bytes, arguments.import_mb * 1_000_000)
        for run in range(1, arguments.runs + 1):
            with LocalCluster(folder / "import") as cluster:
                cluster.wait_ready()
                began = time.monotonic()
                cluster.kvctl("import", path, timeout_s=600)
                seconds = time.monotonic() - began
                found = int(cluster.kvctl("--timeout", "60s", "count").stdout)
            if found != rows:
                raise CommandFailed(f"{rows} rows were imported and {found} are there")
            yield {"value_bytes": value_bytes, "run": run, "rows": rows,
                   "seconds": round(seconds, 2), "mb_per_s": round(row_bytes / 1e6 / seconds, 2),
                   "file_mb_per_s": round(path.stat().st_size / 1e6 / seconds, 2)}
        path.unlink()


# --- restart


@contextlib.contextmanager
def _puts(cluster, rate, prefix):
    """Puts go on for as long as the context."""
    with subprocess.Popen(
            [str(binary("kvctl")), "--endpoints", cluster.endpoints, "bench", "--workload", "put",
             "--rate", str(rate), "--key-prefix", prefix, "--duration", "10m", "--no-verify"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def _key_of_each_shard(cluster):
    owners = ShardTable(shard_list(cluster.kvctl_json("shards")))
    keys = {}
    for number in range(100_000):
        key = f"bench:{number:010d}"
        keys.setdefault(owners.shard_of(key.encode()), key)
        if len(keys) == cluster.shards:
            return list(keys.values())
    raise CommandFailed("a shard owns none of the keys")


def _answered(cluster, key):
    return cluster.kvctl("--timeout", "1s", "get", "-o", "raw", key, check=False).returncode == 0


def _restart_one(cluster, run):
    node, _ = cluster.busiest_node()
    with _puts(cluster, 1000, "restart:"):
        time.sleep(2)
        cluster.kill_now(node)
        time.sleep(5)
        began = time.monotonic()
        cluster.start(node)
        alive = time.monotonic()
        wait_for(f"node {node} to be ready", 120, lambda: cluster.ready(node))
        ready = time.monotonic()
    return {"what": "one", "run": run, "node": node, "alive_s": round(alive - began, 2),
            "seconds": round(ready - began, 2)}


def _restart_all(cluster, run, keys):
    with _puts(cluster, 1000, "restart:"):
        time.sleep(2)
        for node in NODES:
            cluster.kill_now(node)
    began = time.monotonic()
    cluster.up()
    for key in keys:
        wait_for(f"a get of {key}", 120, lambda one=key: _answered(cluster, one))
    served = time.monotonic()
    cluster.wait_ready(timeout_s=120)
    return {"what": "all", "run": run, "seconds": round(served - began, 2),
            "ready_s": round(time.monotonic() - began, 2)}


def _open_loaded(arguments, folder):
    """The cluster of `scripts/curves --load`; without one it is made and loaded here."""
    place = pathlib.Path(arguments.loaded or folder / "loaded")
    if not arguments.loaded:
        place.mkdir()
        curves = pathlib.Path(__file__).resolve().parents[1] / "curves"
        subprocess.run([str(curves), "--load", str(place), "--keys-max", str(arguments.keys)],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    told = json.loads((place / "loaded.json").read_text(encoding="ascii"))
    return told["keys"], LocalCluster(place / "cluster", base_port=told["base_port"])


def measure_restarts(arguments, folder):
    loaded_keys, cluster = _open_loaded(arguments, folder)
    try:
        cluster.up()
        cluster.wait_ready(timeout_s=120)
        keys = _key_of_each_shard(cluster)
        for run in range(1, arguments.runs + 1):
            for sample in (_restart_one(cluster, run), _restart_all(cluster, run, keys)):
                stored = sum(replica["size_bytes"]
                             for node in cluster.kvctl_json("status")["nodes"]
                             for replica in node.get("replicas", []))
                yield sample | {"keys": loaded_keys, "stored_gb": round(stored / 1e9, 2)}
    finally:
        cluster.down(wipe=not arguments.loaded)


# --- background and stall


def _work_of(cluster, nodes, before):
    return {name: int(value) if name != "held_s" else round(value, 3)
            for name, value in Counters.risen(before, Counters(cluster, nodes, WORK).read()).items()}


def _generate(cluster, seconds, *words):
    result = generator.run([str(binary("kvctl")), "--endpoints", cluster.endpoints, "--timeout",
                            "20s", "-o", "json", "bench", "--workload", "put", "--duration",
                            f"{seconds}s", *words])
    return {"per_s": round(result["throughput"], 1), "errors": result["errors"],
            "errors_by": result["errors_by"], "first_failure": result["first_failure"],
            "unstarted": result["unstarted"], "lost_keys": result["lost_keys"],
            "latency_ms": {name: round(us / 1000, 2) for name, us in result["latency_us"].items()}}


def _kill_for_a_while(cluster, down_s, problems):
    """In a thread of its own, beside the puts."""
    try:
        cluster.kill_now(KILLED)
        time.sleep(down_s)
        cluster.start(KILLED, KILLED_FLAGS)
    except Exception as error:  # pylint: disable=broad-except
        problems.append(error)


def measure_background(arguments, folder):
    others = [node for node in NODES if node != KILLED]
    problems = []
    environment = {"BASALTD_FLAGS": BACKGROUND_FLAGS}
    with LocalCluster(folder / "background", environment=environment) as cluster:
        cluster.stop(KILLED)
        cluster.start(KILLED, KILLED_FLAGS)
        cluster.wait_ready()
        wait_for(f"node {KILLED} to lead nothing", 30,
                 lambda: not cluster.leaders()[KILLED] and sum(map(len, cluster.leaders().values()))
                 == cluster.shards, interval_s=0.2)
        load = ("--rate", str(arguments.rate), "--value-size", str(BACKGROUND_VALUE_BYTES),
                # More clients than are ever open at once: the loop stays open.
                "--clients", "4096", "--keys", "100000")
        _generate(cluster, 5, *load, "--no-verify")
        before = Counters(cluster, others, WORK).read()
        killer = threading.Thread(target=_kill_for_a_while,
                                  args=(cluster, arguments.seconds / 3, problems))
        killer.start()
        result = _generate(cluster, arguments.seconds, *load)
        killer.join()
        if problems:
            raise problems[0]
        installed = Counters(cluster, [KILLED], {
            "checkpoints_installed": ("basalt_checkpoints_installed_total", {}),
            "back_campaigns": ("basalt_raft_campaigns_total", {}),
            "back_heartbeats_missed": ("basalt_raft_heartbeats_missed_total", {})}).read()
        yield ({"rate": arguments.rate, "seconds": arguments.seconds} | result
               | _work_of(cluster, others, before)
               | {name: int(value) for name, value in installed.items()})


def measure_stall(arguments, folder):
    with LocalCluster(folder / "stall", environment={"BASALTD_FLAGS": STALL_FLAGS}) as cluster:
        cluster.wait_ready()
        before = Counters(cluster, NODES, WORK).read()
        result = _generate(cluster, arguments.seconds // 3, "--clients", "1024", "--value-size",
                           str(STALL_VALUE_BYTES), "--keys", "100000")
        yield {"seconds": arguments.seconds // 3} | result | _work_of(cluster, NODES, before)


PARTS = {"import": measure_imports, "restart": measure_restarts, "background": measure_background,
         "stall": measure_stall}


# --- figures


def figures_of(samples):
    figures = {}
    for value_bytes in IMPORT_VALUE_BYTES:
        rates = [sample["mb_per_s"] for sample in samples
                 if sample["part"] == "import" and sample["value_bytes"] == value_bytes]
        if rates:
            figures.setdefault("import", {})[f"values_{value_bytes}"] = {
                "mb_per_s": statistics.median(rates), "worst_mb_per_s": min(rates),
                "runs": len(rates)}
    for what in ("one", "all"):
        seconds = [sample["seconds"] for sample in samples
                   if sample["part"] == "restart" and sample["what"] == what]
        if seconds:
            figures.setdefault("restart", {})[what] = {
                "median_s": statistics.median(seconds), "worst_s": max(seconds),
                "runs": len(seconds)}
    for part in ("background", "stall"):
        for sample in samples:
            if sample["part"] == part:
                figures[part] = {key: value for key, value in sample.items()
                                 if key not in ("part", "errors_by", "first_failure")}
    return figures


def faults_of(figures):
    """What falls below what is wanted, a line each."""
    for rows, side in figures.get("import", {}).items():
        if side["mb_per_s"] < WANTED_IMPORT_MB_PER_S:
            yield (f"import of {rows}: {side['mb_per_s']} MB/s; wanted are "
                   f"{WANTED_IMPORT_MB_PER_S}")
    for what, side in figures.get("restart", {}).items():
        if side["worst_s"] > WANTED_RESTART_S:
            yield f"restart of {what}: {side['worst_s']} s; wanted are {WANTED_RESTART_S}"
    for part in ("background", "stall"):
        if part in figures:
            yield from _faults_of_work(part, figures[part])


def _faults_of_work(part, side):
    for name in ("campaigns", "leaderships_lost", "heartbeats_missed", "lost_keys"):
        if side[name]:
            yield f"{part}: {name} {side[name]}"
    for name in ("flushes", "compactions"):
        if not side[name]:
            yield f"{part}: {name} 0: it proves nothing"
    if part == "background":
        # What was due in the last moment may not have started.
        if side["errors"] or side["unstarted"] > side["rate"] * UNSTARTED_S_MAX:
            yield f"background: {side['errors']} errors, {side['unstarted']} puts not started"
        if not side["checkpoints_installed"]:
            yield "background: no checkpoint: it proves nothing"
    elif not side["held_writes"]:
        yield "stall: RocksDB held nothing up: it proves nothing"


def table(figures, link=None):
    """Markdown lines. `link`: a record's path."""
    def cell(path, text):
        return f"[{text}]({link}#figures.{path})" if link else text
    yield "| what | wanted | measured |"
    yield "|---|---|---|"
    for rows, side in figures.get("import", {}).items():
        value_bytes = int(rows.split("_")[1])
        yield (f"| import, values of {value_bytes:,} bytes | 20 MB/s <!-- figure: goal --> | "
               + cell(f"import.{rows}.mb_per_s", f"{side['mb_per_s']:.1f} MB/s") + ", worst "
               + cell(f"import.{rows}.worst_mb_per_s", f"{side['worst_mb_per_s']:.1f} MB/s")
               + " |")
    names = {"one": "a node killed and started again, until ready",
             "all": "all nodes at once, until every shard serves"}
    for what, side in figures.get("restart", {}).items():
        yield (f"| {names[what]} | 10 s <!-- figure: goal --> | "
               + cell(f"restart.{what}.median_s", f"{side['median_s']:.1f} s") + ", worst "
               + cell(f"restart.{what}.worst_s", f"{side['worst_s']:.1f} s") + " |")
    for part in ("background", "stall"):
        if part in figures:
            yield from _work_rows(part, figures[part], cell)


def _work_rows(part, side, cell):
    def show(*names):
        return ", ".join(cell(f"{part}.{name}", f"{side[name]:,}") + " " + name.replace("_", " ")
                         for name in names)
    latencies = ", ".join(
        f"{shown} " + cell(f"{part}.latency_ms.{name}", f"{side['latency_ms'][name]:.1f} ms")
        for name, shown in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")))
    rate = cell(f"{part}.per_s", f"{side['per_s']:,.0f} puts/s")
    yield f"| {part}: {rate} | | {latencies} |"
    raft = show("campaigns", "leaderships_lost", "heartbeats_missed", "ticks_missed")
    yield f"| {part}: Raft | none | {raft} |"
    work = ["flushes", "compactions"]
    if part == "background":
        work += ["checkpoints_sent", "checkpoints_installed"]
    yield f"| {part}: work | some | {show(*work)} |"
    yield (f"| {part}: held up | | {show('held_writes', 'proposals_put_off', 'overloaded_answers')}"
           f", {show('errors')} |")
