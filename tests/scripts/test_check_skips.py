"""scripts/check_skips objects to every skip that tests/allowed_skips.txt does not name."""

import os
import unittest

from planted_tree import PlantedTreeTest

CASE = '<testcase name="{}" status="{}">{}<system-out>{}</system-out></testcase>'


class CheckSkipsTest(PlantedTreeTest):
    script = "check_skips"

    def check(self, cases, allowed="", *arguments):
        self.plant("junit.xml", "<testsuite>" + "".join(cases) + "</testsuite>")
        self.plant("allowed.txt", allowed)
        return self.run_check("--allowed", os.path.join(self.root, "allowed.txt"), *arguments,
                              os.path.join(self.root, "junit.xml"))

    def assert_fails(self, result, text):
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn(text, result.stdout)

    def assert_passes(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_no_skips(self):
        self.assert_passes(self.check([CASE.format("a:X.Y", "run", "", "[       OK ] X.Y")]))

    def test_skips_by_ctest(self):
        self.assert_fails(self.check([CASE.format("a:X.Y", "notrun", "<skipped/>", "")]), "a:X.Y")
        self.assert_fails(self.check([CASE.format("a:X.Y", "disabled", "", "")]), "a:X.Y")
        self.assert_fails(self.check([CASE.format("a_NOT_BUILT", "notrun", "", "")]), "a_NOT_BUILT")

    def test_skips_inside_a_binary(self):
        output = "[       OK ] X.A (0 ms)\n[  SKIPPED ] X.Y/3 (0 ms)\n[  SKIPPED ] X.Y/3\n"
        self.assert_fails(self.check([CASE.format("a", "run", "", output)]), "a:X.Y/3")

    def test_skips_inside_python(self):
        output = "test_y (m.C.test_y) ... skipped 'no xfs'\nOK (skipped=1)\n"
        self.assert_fails(self.check([CASE.format("a", "run", "", output)]), "a:test_y")
        self.assert_fails(self.check([CASE.format("a", "run", "", "x\nOK (skipped=1)\n")]), ": a")

    def test_allowed_skips(self):
        case = CASE.format("a:X.Y", "notrun", "<skipped/>", "")
        self.assert_passes(self.check([case], "# note\na:X.Y | no xfs | a:X.Z on a fake disk\n"))
        self.assert_fails(self.check([case], "a:X.Y | no xfs\n"), "allowed_skips:1")

    def test_stale_entries(self):
        case, allowed = CASE.format("a:X.Y", "run", "", ""), "a:X.Gone | no xfs | a:X.Z\n"
        self.assert_passes(self.check([case], allowed))
        self.assert_fails(self.check([case], allowed, "--complete"), "a:X.Gone")

    def test_stale_entries_of_what_runs_inside(self):
        output = ("test_y (m.C.test_y) ... ok\n[ RUN      ] X.Y\n"
                  "test_z (m.C.test_z) ... skipped 'no xfs'\n")
        case = CASE.format("a", "run", "", output)
        good = "".join(f"a:{test} | no xfs | b\n" for test in ("test_y", "test_z", "X.Y"))
        self.assert_passes(self.check([case], good, "--complete"))
        for stale in ("a:test_gone", "a:X.Gone", "gone:test_y"):
            allowed = f"{good}{stale} | no xfs | b\n"
            self.assert_fails(self.check([case], allowed, "--complete"),
                              f"allowed_skips:4: no such test: {stale}")


if __name__ == "__main__":
    unittest.main()
