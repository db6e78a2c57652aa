"""What `scripts/curves` and `scripts/operations` conclude from samples, and what they read of nodes."""

import importlib.machinery
import importlib.util
import json
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from basalt_tools import curve_points, doc_tables, node_metrics  # noqa: E402
from basalt_tools import operations, run_record  # noqa: E402


def _check_runs():
    loader = importlib.machinery.SourceFileLoader("check_runs", str(ROOT / "scripts/check_runs"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_runs", loader))
    loader.exec_module(module)
    return module


check_runs = _check_runs()


def sample(curve, point, rate, **more):
    return {"curve": curve, "point": point, "throughput": rate, "errors": 0, "absent": 0,
            "latency_us": {"p50": 1000, "p99": 2000, "p999": 3000}, "server_cpu_us_per_op": 9.5,
            "generator_cpu_us_per_op": 1.0, "block_misses_per_op": 0.25,
            "data_block_misses_per_op": 0.2, "compacted_mb": 1.5, "held_writes": 0} | more


def samples_of(curve, points):
    return [sample(curve, point, rate) for point, rates in points.items() for rate in rates]


class CurvesTest(unittest.TestCase):
    def test_every_curve_has_both_workloads_at_each_place(self):
        for curve, values in (("clients", curve_points.CLIENTS), ("keys", curve_points.KEYS),
                              ("values", curve_points.VALUE_SIZES),
                              ("shards", curve_points.SHARDS)):
            points = curve_points.CURVES[curve]
            self.assertEqual({(point.workload, point.at) for point in points},
                             {(workload, value) for workload in ("put", "get")
                              for value in values})
            for point in points:
                varied = {"clients": point.clients, "keys": point.keys,
                          "values": point.value_size, "shards": point.shards}
                self.assertEqual(varied[curve], point.at)
        for curve, (near, far, _) in curve_points.WANTED.items():
            self.assertLessEqual({near, far}, {point.at for point in curve_points.CURVES[curve]})

    def test_points_share_a_cluster_only_when_their_data_is_alike(self):
        self.assertEqual(len(curve_points.clusters_of(curve_points.CURVES["clients"])), 1)
        for curve, count in (("keys", 4), ("shards", 3)):
            groups = curve_points.clusters_of(curve_points.CURVES[curve])
            self.assertEqual([len(points) for points in groups.values()], [2] * count)

    def test_medians_and_shares(self):
        figures = curve_points.figures_of(samples_of("clients", {
            "put_256": [100, 90, 110], "put_4096": [80, 85, 90], "get_256": [100]}))
        side = figures["clients"]["put_256"]
        self.assertEqual((side["per_s"], side["p999_ms"], side["runs"], side["void"]),
                         (100, 3, 3, False))
        shares = curve_points.shares_of(figures)
        self.assertEqual(shares, {"clients": {"put": 0.85}})
        self.assertEqual(list(curve_points.misses_of(shares)),
                         ["clients: puts at 4,096 reach 85% of those at 256; wanted are 90%"])
        self.assertEqual(list(curve_points.misses_of({"clients": {"put": 0.9},
                                                      "keys": {"get": 0.6}})), [])

    def test_a_void_point_has_no_share_and_is_a_fault(self):
        samples = samples_of("keys", {"get_100000": [100, 100], "get_10000000": [40, 70]})
        figures = curve_points.figures_of(samples)
        self.assertEqual(curve_points.shares_of(figures), {})
        self.assertEqual(list(curve_points.faults_of(figures, samples)),
                         ["keys get_10000000: void, rates spread by more than 30%"])
        row = list(curve_points.table("keys", figures["keys"]))[-1]
        self.assertIn("void", row)

    def test_failures_and_gets_of_nothing_are_faults(self):
        samples = [sample("keys", "get_10000", 1, errors=2), sample("keys", "put_10000", 1),
                   sample("keys", "get_10000", 1, absent=3)]
        self.assertEqual(list(curve_points.faults_of(curve_points.figures_of(samples), samples)),
                         ["keys get_10000: 2 operations failed",
                          "keys get_10000: 3 gets found nothing"])

    def test_tables_have_a_row_for_each_place_and_link_to_the_record(self):
        for curve, points in curve_points.CURVES.items():
            figures = curve_points.figures_of([sample(curve, point.name, 1234.5)
                                               for point in points])
            for link in (None, f"runs/curves-0123.json#figures.{curve}"):
                lines = list(curve_points.table(curve, figures[curve], link))
                self.assertEqual(len(lines), 2 + len({point.at for point in points}))
                self.assertEqual({line.count("|") for line in lines}, {lines[0].count("|")})
                self.assertEqual("(runs/curves-0123.json#figures." in lines[2], link is not None)

    def test_what_is_measured_later_stands_beside_what_was_before(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            with unittest.mock.patch.object(run_record, "ROOT", root), \
                    unittest.mock.patch.object(run_record, "built_commit", return_value="a" * 40):
                self.assertIsNone(run_record.of_this_commit("curves"))
                (root / "docs/runs").mkdir(parents=True)
                (root / f"docs/runs/curves-{'a' * 12}.json").write_text('{"samples": [1]}')
                self.assertEqual(run_record.of_this_commit("curves"), {"samples": [1]})


class DocTablesTest(unittest.TestCase):
    PAGE = "before\n<!-- t: begin -->\nold\nlines\n<!-- t: end -->\nafter\n"

    def test_a_table_is_put_where_it_belongs(self):
        self.assertEqual(doc_tables.shown("t", self.PAGE), ["old", "lines"])
        text = doc_tables.replaced("t", self.PAGE, ["new"])
        self.assertEqual(text, "before\n<!-- t: begin -->\nnew\n<!-- t: end -->\nafter\n")

    def test_a_page_without_a_place_is_refused(self):
        for page in ("", self.PAGE * 2, self.PAGE.replace("end", "fin"),
                     "<!-- t: begin -->\n" + self.PAGE, self.PAGE + "<!-- t: end -->\n",
                     "<!-- t: end -->\n<!-- t: begin -->\n"):
            with self.assertRaisesRegex(ValueError, "no lines for the table t"):
                doc_tables.shown("t", page)

    def test_lines_come_of_a_record(self):
        figures = curve_points.figures_of([sample("clients", "put_1", 10)])
        with tempfile.TemporaryDirectory() as folder:
            record = pathlib.Path(folder) / "curves-0123.json"
            record.write_text(json.dumps({"figures": figures | {"shares": {}, "loads": {}}}))
            page = pathlib.Path(folder) / "page.md"
            page.write_text(self.PAGE)
            doc_tables.show("t", curve_points.tables, record, page)
            lines = doc_tables.shown("t", page.read_text())
        self.assertTrue(lines[-1].startswith(
            "| 1 | [10](runs/curves-0123.json#figures.clients.put_1.per_s) |"), lines[-1])
        self.assertIn("| 4,096 clients, of that of 256 | 0.9 | void | void |", lines)


METRICS = """\
# HELP basalt_x_total What.
# TYPE basalt_x_total counter
basalt_x_total{found="no",shard="1"} 3
basalt_x_total{found="yes",shard="1"} 5
basalt_y_seconds_total 0.5
basalt_x_total{found="no",shard="2"} 4e2
"""


class NodeMetricsTest(unittest.TestCase):
    def test_series_are_added_up_by_labels(self):
        self.assertEqual(node_metrics.total([METRICS], "basalt_x_total"), 408)
        self.assertEqual(node_metrics.total([METRICS] * 2, "basalt_x_total", found="no"), 806)
        self.assertEqual(node_metrics.total([METRICS], "basalt_y_seconds_total"), 0.5)
        self.assertEqual(node_metrics.total([METRICS], "basalt_y"), 0)

    def test_counters_tell_what_rose(self):
        with unittest.mock.patch.object(node_metrics, "read", return_value=METRICS):
            counters = node_metrics.Counters(None, (1, 2), {
                "misses": ("basalt_x_total", {"found": "no"}), "y": ("basalt_y_seconds_total", {})})
            now = counters.read()
        self.assertEqual(now, {"misses": 806, "y": 1})
        self.assertEqual(counters.risen({"misses": 800, "y": 0.25}, now), {"misses": 6, "y": 0.75})


def work(part, **more):
    return {"part": part, "rate": 8000, "seconds": 90, "per_s": 8000.1, "errors": 0,
            "errors_by": {}, "first_failure": "", "unstarted": 0, "lost_keys": 0,
            "latency_ms": {"p50": 1.5, "p90": 2, "p99": 3, "p999": 4, "max": 5},
            "checkpoints_installed": 8, "held_s": 1.5} | {name: 0 for name in operations.WORK
                                                         if name != "held_s"} | {
                "flushes": 5, "compactions": 5, "held_writes": 1} | more


class OperationsTest(unittest.TestCase):
    def samples(self):
        return [{"part": "import", "value_bytes": 256, "mb_per_s": rate} for rate in (20, 30, 21)] \
            + [{"part": "restart", "what": what, "seconds": seconds}
               for what in ("one", "all") for seconds in (3.5, 9.9)] \
            + [work("background"), work("stall")]

    def test_medians_and_the_worst(self):
        figures = operations.figures_of(self.samples())
        self.assertEqual(figures["import"], {"values_256": {
            "mb_per_s": 21, "worst_mb_per_s": 20, "runs": 3}})
        self.assertEqual(figures["restart"]["all"]["worst_s"], 9.9)
        self.assertEqual(list(operations.faults_of(figures)), [])

    def test_what_falls_below_is_named(self):
        for number, more, said in (
                (0, {"mb_per_s": 19}, None),  # the median stays
                                (3, {"seconds": 10.1}, "restart of one: 10.1 s"),
                (7, {"campaigns": 1}, "background: campaigns 1"),
                (7, {"heartbeats_missed": 2}, "background: heartbeats_missed 2"),
                (7, {"errors": 3}, "background: 3 errors, 0 puts not started"),
                (7, {"unstarted": 160}, None),
                (7, {"unstarted": 161}, "background: 0 errors, 161 puts not started"),
                (7, {"checkpoints_installed": 0}, "background: no checkpoint"),
                (7, {"compactions": 0}, "background: compactions 0: it proves nothing"),
                (8, {"leaderships_lost": 1}, "stall: leaderships_lost 1"),
                (8, {"lost_keys": 1}, "stall: lost_keys 1"),
                (8, {"errors": 9}, None),  # refusals are what is wanted
                (8, {"held_writes": 0}, "stall: RocksDB held nothing up")):
            samples = self.samples()
            samples[number] |= more
            faults = list(operations.faults_of(operations.figures_of(samples)))
            if said is None:
                self.assertEqual(faults, [])
            else:
                self.assertEqual(len(faults), 1, faults)
                self.assertTrue(faults[0].startswith(said), faults)
        samples = self.samples()
        for number in range(3):
            samples[number]["mb_per_s"] = 19.9
        self.assertEqual(list(operations.faults_of(operations.figures_of(samples))),
                         ["import of values_256: 19.9 MB/s; wanted are 20"])

    def test_rows_are_what_kvctl_imports(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "rows.jsonl"
            rows, row_bytes = operations.write_rows(path, 256, 100_000)
            lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
        self.assertEqual(rows, len(lines))
        self.assertEqual(row_bytes, sum(len(line["key"]) + len(line["value"]) for line in lines))
        self.assertEqual([line["key"] for line in lines], sorted({line["key"] for line in lines}))
        self.assertEqual({len(line["value"]) for line in lines}, {256})
        self.assertEqual(len({line["value"] for line in lines}), rows)

    def test_a_table_links_every_figure(self):
        figures = operations.figures_of(self.samples())
        plain = list(operations.table(figures))
        linked = list(operations.table(figures, "runs/operations-0123.json"))
        self.assertEqual(len(plain), len(linked))
        self.assertEqual({line.count("|") for line in plain + linked}, {4})
        bare = [fault for number, line in enumerate(linked)
                for fault in check_runs.check_bare("page", number, line)]
        self.assertEqual(bare, [])
        self.assertTrue([fault for line in plain for fault in check_runs.check_bare("page", 1, line)])


if __name__ == "__main__":
    unittest.main()
