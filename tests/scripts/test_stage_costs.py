"""What scripts/stage_costs reads of valgrind, and what it objects to."""

import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from basalt_tools import stage_costs  # noqa: E402

# As valgrind 3.19 and the program write it on one standard error.
TRACE = """\
SYSCALL[7,1](257) sys_openat ( 4294967196, 0x404bda0(/tmp), 591872 ) --> [async] ...
SYSCALL[7,1](1) sys_write ( 2, 0x29db8b, 13 ) --> [async] ...
stage begins
SYSCALL[7,1](1) ... [async] --> Success(0xd)
SYSCALL[7,1](110) sys_getppid ()[sync] --> Success(0x7e16)
SYSCALL[7,1]( 18) sys_pwrite64 ( 5, 0x55b8240, 512, 0 ) --> [async] ...
SYSCALL[7,2](202) sys_futex ( 0x931bbc, 129, 2147483647, 0x0, 0x931b90 ) --> [async] ...
SYSCALL[7,1]( 18) ... [async] --> Success(0x200)
SYSCALL[7,1](228) sys_clock_gettime ( 1, 0x1ffefff5c0 )[sync] --> Success(0x0)
SYSCALL[7,1](1) sys_write ( 2, 0x2cfb66, 11 ) --> [async] ...
stage ends
SYSCALL[7,1](1) ... [async] --> Success(0xb)
SYSCALL[7,1](3) sys_close ( 8 )[sync] --> Success(0x0)
SYSCALL[7,1](1) sys_write ( 2, 0x29db8b, 13 ) --> [async] ...
stage begins
SYSCALL[7,1](1) ... [async] --> Success(0xd)
SYSCALL[7,1](1) sys_write ( 1, 0x55b8240, 15 ) --> [async] ...
SYSCALL[7,1](1) ... [async] --> Success(0xf)
SYSCALL[7,1](1) sys_write ( 2, 0x2cfb66, 11 ) --> [async] ...
stage ends
SYSCALL[7,1](1) ... [async] --> Success(0xb)
"""
PROFILE = "# callgrind format\nevents: Ir\nsummary: 3200\n\nfn=(1) f\n0 3200\n\ntotals: 3200\n"


class ReadingTest(unittest.TestCase):
    def test_calls_of_the_first_thread_between_the_marks(self):
        self.assertEqual(stage_costs.count_system_calls(TRACE), 3)  # getppid, pwrite64, write

    def test_a_trace_without_marks_is_no_count(self):
        with self.assertRaisesRegex(stage_costs.NotCounted, "no mark"):
            stage_costs.count_system_calls("SYSCALL[7,1](110) sys_getppid ()[sync]\n")
        with self.assertRaisesRegex(stage_costs.NotCounted, "not traced"):
            stage_costs.count_system_calls("stage begins\nstage ends\n")

    def test_a_profile_without_instructions_is_no_count(self):
        self.assertEqual(stage_costs.read_instructions(PROFILE), 3200)
        for empty in ("", "totals: 0\n"):
            with self.assertRaisesRegex(stage_costs.NotCounted, "nothing"):
                stage_costs.read_instructions(empty)

    def test_costs_are_of_one_operation(self):
        self.assertEqual(stage_costs.costs_of("operations 32\nallocations 48\n", TRACE, PROFILE),
                         {"instructions": 100.0, "allocations": 1.5, "system_calls": 0.0938})


def costs(instructions=1000.0, allocations=4.0, system_calls=0.0):
    return {"instructions": instructions, "allocations": allocations, "system_calls": system_calls}


class ComparingTest(unittest.TestCase):
    def faults(self, was, now):
        return "\n".join(stage_costs.compare({"apply": was}, {"apply": now}, ["apply"]))

    def test_five_per_cent_either_way_pass(self):
        for share in (0.951, 1.0, 1.049):
            self.assertEqual(self.faults(costs(), costs(1000 * share, 4 * share)), "")

    def test_more_and_less_are_objected_to(self):
        self.assertEqual(self.faults(costs(), costs(1051)),
                         "apply: 1,051 instructions an operation, not 1,000 (+5.1%)")
        self.assertRegex(self.faults(costs(), costs(949)),
                         r"^apply: 949 instructions .* \(-5\.1%\); that is less: .* --update$")
        self.assertRegex(self.faults(costs(), costs(allocations=5)), r"^apply: 5 allocations .*$")
        self.assertRegex(self.faults(costs(system_calls=0.125), costs(system_calls=0.1875)),
                         r"^apply: 0\.1875 system calls .* \(\+50\.0%\)$")

    def test_zero_stays_zero(self):
        self.assertRegex(self.faults(costs(), costs(system_calls=0.006)), "there was none")
        self.assertRegex(self.faults(costs(allocations=0.0), costs(allocations=0.001)),
                         "there was none")
        self.assertRegex(self.faults(costs(system_calls=0.125), costs()),
                         r"^apply: 0 system calls .* \(-100\.0%\); .* --update$")

    def test_a_container_may_grow_once_more(self):
        few = costs(allocations=0.003)
        self.assertEqual(self.faults(few, costs(allocations=0.004)), "")
        self.assertRegex(self.faults(few, costs(allocations=0.0655)), "allocations")

    def test_a_lock_may_be_held_now_and_then(self):
        self.assertEqual(self.faults(costs(), costs(system_calls=0.002)), "")

    def test_each_cost_has_a_line(self):
        self.assertEqual(len(self.faults(costs(1, 1, 1), costs(2, 2, 2)).splitlines()), 3)

    def test_stages_come_and_go_by_update(self):
        lines = list(stage_costs.compare({"gone": costs()}, {"new": costs()}, ["new"]))
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], "^new: not in the baseline; .* --update$")
        self.assertRegex(lines[1], "^gone: in the baseline, and no stage; .* --update$")

    def test_what_is_known_must_be_counted(self):
        self.assertEqual(list(stage_costs.miscounts({"calibration": costs(9, 3, 1)})), [])
        lines = list(stage_costs.miscounts({"calibration": costs(9, 2, 0)}))
        self.assertEqual([re.search(r"2 allocations|0 system calls", line).group(0)
                          for line in lines], ["2 allocations", "0 system calls"])

    def test_spread(self):
        counts = [costs(100), costs(103), costs(101)]
        self.assertAlmostEqual(stage_costs.spread(counts, "instructions"), 0.03)
        self.assertEqual(stage_costs.spread(counts, "system_calls"), 0.0)

    def test_the_table_has_a_line_a_stage(self):
        lines = list(stage_costs.table({"apply": costs()}, {"apply": costs(), "new": costs()}))
        self.assertEqual(len(lines), 3)
        self.assertEqual(lines[1].split(), ["apply", "1,000", "1,000", "4", "4", "0", "0"])
        self.assertEqual(lines[2].split(), ["new", "1,000", "-", "4", "-", "0", "-"])


class BaselineTest(unittest.TestCase):
    def test_it_is_read_as_it_was_written(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "costs.json")
            self.assertEqual(stage_costs.read_baseline(path), (None, {}))
            stage_costs.write_baseline(path, {"apply": costs()})
            self.assertEqual(stage_costs.read_baseline(path),
                             (stage_costs.machine(), {"apply": costs()}))


if __name__ == "__main__":
    unittest.main()
