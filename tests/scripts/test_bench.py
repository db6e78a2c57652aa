"""What `./dev bench` concludes from samples, and what it reads of processes."""

import os
import pathlib
import socket
import sys
import time
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from basalt_tools import process_costs, side_by_side  # noqa: E402
from basalt_tools.local_cluster import CommandFailed  # noqa: E402

PUT_64 = side_by_side.rows_named(["put_64"])


def sample(system, measurement, rate, p50=1000, cpu=10.0):
    return {"system": system, "measurement": measurement, "throughput": rate,
            "latency_us": {"p50": p50, "p99": 2 * p50}, "server_cpu_us_per_op": cpu,
            "generator_cpu_us_per_op": 1.0, "errors": 0, "connections": 3}


def samples_of(basalt_rates, etcd_rates):
    return ([sample("basalt", "put_64", rate, p50=500, cpu=5.0) for rate in basalt_rates]
            + [sample("etcd", "put_64", rate) for rate in etcd_rates]
            + [sample("basalt", "put_1", 1), sample("etcd", "put_1", 1)])


class SideBySideTest(unittest.TestCase):
    def test_medians_and_ratios(self):
        result = side_by_side.compare(PUT_64[0], samples_of([100, 90, 110], [50, 52, 48]))
        self.assertFalse(result["void"])
        self.assertEqual((result["basalt"]["per_s"], result["etcd"]["per_s"]), (100, 50))
        self.assertEqual(result["ratio"], {"per_s": 2.0, "p50_us": 0.5, "p99_us": 0.5,
                                           "server_cpu_us_per_op": 0.5})

    def test_a_wide_spread_of_either_side_voids_the_row(self):
        wide, narrow = [84, 100, 115], [86, 100, 115]  # 31 % and 29 %
        for basalt, etcd, void in ((wide, narrow, True), (narrow, wide, True),
                                   (narrow, narrow, False)):
            samples = samples_of(basalt, etcd)
            self.assertEqual(side_by_side.compare(PUT_64[0], samples)["void"], void)
            self.assertEqual("put_64" in side_by_side.figures_of(PUT_64, samples), not void)
            lines = list(side_by_side.table(PUT_64, samples))
            self.assertEqual(len(lines), 3)
            self.assertEqual(lines[2].count("void"), 4 if void else 0)
            self.assertEqual("x |" in lines[2], not void)
            self.assertEqual(lines[2].count("|"), lines[0].count("|"))

    def test_what_makes_a_run_no_measurement(self):
        samples = samples_of([100, 100], [50, 50])
        syncs = {system: [{"fdatasync": 1}] * 3 for system in side_by_side.SYSTEMS}

        def faults():
            return list(side_by_side.faults_of(PUT_64, samples, syncs))
        self.assertEqual(faults(), [])
        syncs["etcd"] = [{"fdatasync": 9}, {"fsync": 9}, {"fdatasync": 9}]
        self.assertRegex("\n".join(faults()), "^etcd: a node made no fdatasync call: .*$")
        syncs["etcd"][1] = {"fdatasync": 1}
        samples[0]["connections"] = 2  # of Basalt's; a node may lead nothing
        self.assertEqual(faults(), [])
        samples[0]["connections"] = 4
        self.assertRegex("\n".join(faults()), "^Basalt had more connections than etcd: .*$")
        samples[0]["connections"] = 3
        samples[1]["errors"] = 7
        self.assertEqual(faults(), ["basalt put_64: 7 operations failed"])
        samples[1]["errors"] = 0
        samples[3]["throughput"] = 5
        self.assertEqual(faults(), ["put_64: void, rates spread by more than 30%"])

    def test_no_operation_at_all_is_no_ratio(self):
        self.assertTrue(side_by_side.compare(PUT_64[0], samples_of([0, 0], [1, 1]))["void"])

    def test_every_row_has_its_measurements(self):
        for row in side_by_side.ROWS:
            for system in side_by_side.SYSTEMS:
                names = [one.name for one in side_by_side.measurements_of([row], system)]
                self.assertIn(getattr(row, system), names)
        for system in side_by_side.SYSTEMS:
            all_of_it = side_by_side.measurements_of(side_by_side.ROWS, system)
            self.assertEqual(len(all_of_it), len(set(all_of_it)))
        self.assertEqual({name for system in side_by_side.SYSTEMS
                          for name in side_by_side.measurements_of(side_by_side.ROWS, system)},
                         set(side_by_side.MEASUREMENTS))

    def test_rows_that_share_a_measurement_stand_in_one_block(self):
        blocks = side_by_side.blocks_of(side_by_side.ROWS)
        self.assertEqual([[row.name for row in block] for block in blocks],
                         [["put_1"],
                          ["put_64", "put_64_one_group", "txn_64"],
                          ["put_256", "put_unary_256", "put_txn_256", "put_half_rate",
                           "put_256_one_group", "put_half_rate_one_group"],
                          ["get_lease_256", "get_read_index_256", "get_unary_256"],
                          ["put_txn_1024"], ["txn_64_zipf"], ["txn_5_64"]])
        apart = side_by_side.rows_named(["put_half_rate", "put_1"])
        self.assertEqual(side_by_side.blocks_of(apart), [[apart[0]], [apart[1]]])

    def test_what_is_not_measured_anew_stays_in_the_record(self):
        old = {"figures": {"rows": {"put_64": "old", "put_1": "old"}, "facts": "old",
                           "taken": {"put_64": {"attempts": 1}, "put_1": {"attempts": 2}}},
               "samples": [sample("basalt", "put_64", 1), sample("etcd", "put_64", 1),
                           sample("etcd", "put_1", 1)]}
        fresh = [sample("basalt", "put_64", 2), sample("etcd", "put_64", 2)]
        figures, samples = side_by_side.joined(
            old, {"rows": {}, "taken": {"put_64": {"attempts": 3}}, "facts": "new"}, fresh)
        self.assertEqual(figures, {"rows": {"put_1": "old"}, "facts": "new",
                                   "taken": {"put_64": {"attempts": 4}, "put_1": {"attempts": 2}}})
        self.assertEqual([(one["measurement"], one["throughput"]) for one in samples],
                         [("put_1", 1), ("put_64", 2), ("put_64", 2)])
        self.assertEqual(side_by_side.joined(None, {"rows": {}}, fresh), ({"rows": {}}, fresh))

    def test_a_row_that_shares_a_measurement_with_a_new_one_goes(self):
        old = {"figures": {"rows": {"put_unary_256": "old"},
                           "taken": {"put_unary_256": {"attempts": 1}}},
               "samples": [sample("basalt", "put_unary_256", 1), sample("etcd", "put_256", 1)]}
        fresh = [sample("basalt", "put_256", 2), sample("etcd", "put_256", 2)]
        figures, samples = side_by_side.joined(
            old, {"rows": {"put_256": "new"}, "taken": {"put_256": {"attempts": 1}}}, fresh)
        self.assertEqual(list(figures["rows"]), ["put_256"])
        self.assertEqual(list(figures["taken"]), ["put_256"])
        self.assertEqual(samples, fresh)

    def test_only_rows_of_equal_settings_join(self):
        record = {"figures": {"settings": {"runs": 5}}}
        self.assertEqual(side_by_side.misfit(None, {"runs": 1}), "")
        self.assertEqual(side_by_side.misfit(record, {"runs": 5}), "")
        self.assertIn("{'runs': 5}", side_by_side.misfit(record, {"runs": 1}))

    def test_a_page_tells_void_from_not_measured(self):
        result = side_by_side.compare(PUT_64[0], samples_of([100, 100], [50, 50]))
        lines = list(side_by_side.page_table(
            {"rows": {"put_64": result}, "taken": {"put_64": {}, "put_1": {}}}, "r.json"))
        by_title = {line.split(" | ")[0][2:]: line for line in lines}
        self.assertIn("| [100](r.json#figures.rows.put_64.basalt.per_s) |",
                      by_title[PUT_64[0].title])
        self.assertIn("| [2.00x](r.json#figures.rows.put_64.ratio.per_s) |",
                      by_title[PUT_64[0].title])
        self.assertIn("| void |", by_title["durable put, 1 client, streaming"])
        self.assertIn("| - |", by_title["durable put, 256 clients, streaming"])
        self.assertEqual({line.count("|") for line in lines}, {lines[0].count("|")})

    def test_a_transfer_stands_beside_a_put_of_the_same_turn(self):
        rows = side_by_side.rows_named(["txn_64"])
        self.assertEqual([one.name for one in side_by_side.measurements_of(rows, "basalt")],
                         ["put_64", "transfer_64"])
        self.assertEqual([one.name for one in side_by_side.measurements_of(rows, "etcd")],
                         ["transfer_64"])
        samples = [sample("basalt", "put_64", 100, p50=500), sample("etcd", "transfer_64", 20),
                   sample("basalt", "transfer_64", 80, p50=1400)]
        result = side_by_side.compare(rows[0], samples)
        self.assertEqual((result["ratio"]["per_s"], result["to_put"]["p50_us"]), (4.0, 2.8))
        self.assertEqual(list(side_by_side.beside_puts(rows + PUT_64, samples_of([1], [1]) + samples)),
                         ["txn_64: its p50 is 2.80x of that of Basalt's put_64"])

    def test_half_a_rate_is_measured_after_the_rate(self):
        row = side_by_side.rows_named(["put_half_rate"])
        self.assertEqual([one.name for one in side_by_side.measurements_of(row, "etcd")],
                         ["put_256", "put_half_rate"])
        self.assertEqual([one.name for one in side_by_side.measurements_of(row, "basalt")],
                         ["put_half_rate"])

    def test_a_budget_has_every_thread_in_one_part(self):
        parts = side_by_side.budget_parts({"nexting_thread": 1, "default-executo": 2, "groups": 4,
                                           "log": 8, "write-ahead": 16, "apply": 32,
                                           "rocksdb:high": 64, "logger": 128})
        self.assertEqual(parts, {"wire": 3, "Raft": 4, "log": 24, "apply": 32,
                                 "flush, compaction": 64, "rest": 128})

    def test_a_budget_shows_medians(self):
        def of(measurement, cpu):
            one = sample("basalt", measurement.name, 100, cpu=cpu)
            return one | {"parts_us_per_op": side_by_side.budget_parts({"groups": cpu})}
        figures = side_by_side.budget_figures(
            [of(measurement, cpu) for measurement in side_by_side.BUDGET for cpu in (1, 9, 2)])
        lines = list(side_by_side.budget_table(figures))
        self.assertEqual(len(lines), 2 + len(side_by_side.BUDGET))
        self.assertTrue(lines[2].startswith(
            "| put, 1 client | 100 | 1.00 | 2.00 | 2.0 | 0.0 | 2.0 | 0.0 |"), lines[2])
        self.assertEqual({line.count("|") for line in lines}, {lines[0].count("|")})

    def test_unknown_rows_are_named(self):
        with self.assertRaisesRegex(ValueError, "no row put_65"):
            side_by_side.rows_named(["put_64", "put_65"])


STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.10    0.120000         500       240           fdatasync
  0.90    0.001000         100        10         2 fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.121000                   250         2 total
"""


class ProcessCostsTest(unittest.TestCase):
    def test_calls_are_read_of_what_strace_wrote(self):
        self.assertEqual(process_costs.parse_call_counts(STRACE), {"fdatasync": 240, "fsync": 10})
        self.assertEqual(process_costs.parse_call_counts(""), {})

    def test_cpu_time_is_the_kernels(self):
        before = time.process_time()
        counted = process_costs.cpu_us([os.getpid()])
        while time.process_time() < before + 0.3:
            pass
        spent = (time.process_time() - before) * 1e6
        self.assertAlmostEqual(process_costs.cpu_us([os.getpid()]) - counted, spent, delta=60_000)

    def test_connections_are_those_of_the_process_to_the_ports(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            self.assertEqual(process_costs.connections(os.getpid(), {port}), 0)
            with socket.create_connection(("127.0.0.1", port)), \
                    socket.create_connection(("127.0.0.1", port)):
                self.assertEqual(process_costs.connections(os.getpid(), {port}), 2)
                self.assertEqual(process_costs.connections(os.getpid(), {1}), 0)
                self.assertEqual(process_costs.connections(os.getppid(), {port}), 0)

    def test_one_disk_is_one_file_system_with_a_disk(self):
        def on(*found):
            with unittest.mock.patch.object(process_costs, "file_system", side_effect=found):
                return process_costs.one_disk([f"/{number}" for number in range(len(found))])
        self.assertEqual(on((1, "ext2/ext3"), (1, "ext2/ext3")), "ext2/ext3")
        with self.assertRaisesRegex(CommandFailed, "different file systems"):
            on((1, "ext2/ext3"), (2, "ext2/ext3"))
        with self.assertRaisesRegex(CommandFailed, "tmpfs: nothing there is durable"):
            on((1, "tmpfs"), (1, "tmpfs"))
        device, kind = process_costs.file_system("/proc")
        self.assertEqual((device, kind), (os.stat("/proc").st_dev, "proc"))


if __name__ == "__main__":
    unittest.main()
