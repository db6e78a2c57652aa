"""Each rule of scripts/check_tidy objects to a planted violation, and only to that."""

import unittest

from planted_tree import PlantedTreeTest


def function_of(body_lines, head="void F() {", tail="}"):
    return head + "\n" + "  Step();\n" * body_lines + tail + "\n"


class CheckTidyTest(PlantedTreeTest):
    script = "check_tidy"

    def plant_source(self, text, path="base/slot.cc"):
        self.plant("base/CMakeLists.txt", "basalt_library(NAME base SRCS slot.cc)\n")
        self.plant(path, text)

    def assert_source_violates(self, text, rule, line, contains=""):
        self.setUp()
        self.plant_source(text)
        self.assert_violation(f"base/slot.cc:{line}:", rule, contains)

    def assert_source_is_clean(self, text):
        self.setUp()
        self.plant_source(text)
        self.assert_clean()

    def test_file_lines(self):
        self.assert_source_is_clean("// line\n" * 800)
        self.assert_source_violates("// line\n" * 801, "file-lines", 1)

    def test_function_lines(self):
        heads = [
            "void F() {",
            "Foo::Foo(int a) : a_(a), b_{a} {",
            "Foo::Foo(int a) : a_{a} {",
            "template <class T, int N> T Max(T a) {",
            "static auto F(int a) -> std::vector<int> {",
            "TEST(Log, Truncates) {",
            "const auto kTable = Build([] {",
        ]
        for head in heads:
            with self.subTest(head=head):
                tail = "});" if head.startswith("const auto") else "}"
                self.assert_source_is_clean(function_of(69, head, tail))
                self.assert_source_violates("\n" + function_of(70, head, tail), "function-lines", 2)

    def test_function_inside_scopes(self):
        wrap = "namespace a {{\nclass B final : public C {{\n public:\n{}}};\n}}\n"
        self.assert_source_is_clean(wrap.format(function_of(69)))
        self.assert_source_violates(wrap.format(function_of(70)), "function-lines", 4)

    def test_long_scopes_and_tables_are_no_functions(self):
        self.assert_source_is_clean("namespace a {\n" + "int x;\n" * 90 + "}\n")
        self.assert_source_is_clean("class BASALT_X(y) A : B {\n" + "  int x;\n" * 90 + "};\n")
        self.assert_source_is_clean("enum class E : int {\n" + "  kA,\n" * 90 + "};\n")
        self.assert_source_is_clean("int k[] = {\n" + "  1,\n" * 90 + "};\n")

    def test_braces_in_literals_and_comments_count_nothing(self):
        noise = 'auto s = "{{{"; auto c = \'{\'; // {{{\nauto r = R"(}}})"; int n = 1\'000;\n'
        self.assert_source_is_clean("void F() {\n" + noise + "}\n" + "int x;\n" * 90)

    def test_function_lines_of_python_and_shell(self):
        self.plant("scripts/a.py", "def f():\n" + "    x = 1\n" * 70)
        self.assert_violation("scripts/a.py:1:", "function-lines")
        self.setUp()
        self.plant("scripts/run", "#!/usr/bin/env bash\nf() {\n" + "  true\n" * 70 + "}\n")
        self.assert_violation("scripts/run:2:", "function-lines")

    def test_banned_names(self):
        for text in ("class LogManager {};", "struct PutData {};", "enum class SlotInfo { kA };",
                     "using Common = int;", "typedef int MiscNumber;", "class RouterImpl final {};",
                     "struct StringUtils {};", "class BASALT_CAPABILITY(\"m\") LockHelper {};"):
            with self.subTest(text=text):
                self.assert_source_violates(text + "\n", "name", 1)
        self.assert_source_is_clean("class Database {};\nstruct Implication {};\n"
                                    "// class LogManager\nint GetInfo();\n")

    def test_banned_message_names(self):
        self.plant("proto/CMakeLists.txt", "basalt_proto_library(NAME p PROTOS a.proto)\n")
        self.plant("proto/a.proto", "message ShardInfo {\n}\n")
        self.assert_violation("proto/a.proto:1:", "name")

    def test_banned_file_names(self):
        self.plant("base/CMakeLists.txt", "x(SRCS string_util.cc)\n")
        self.plant("base/string_util.cc", "")
        self.assert_violation("base/string_util.cc:1:", "name")

    def test_friend(self):
        self.assert_source_violates("class A {\n  friend class B;\n};\n", "friend", 2)
        self.assert_source_is_clean("// a friend\n")

    def test_dead_source(self):
        self.plant("base/CMakeLists.txt", "include(part.cmake)  # slot.cc\n")
        self.plant("base/slot.cc", "")
        self.assert_violation("base/slot.cc:1:", "dead-file")
        self.plant("base/part.cmake", "basalt_library(NAME base SRCS slot.cc)\n")
        self.assert_clean()

    def test_dead_header(self):
        self.assert_source_is_clean("")
        self.plant("base/slot.h", '#include "base/slot.h"\n')
        self.assert_violation("base/slot.h:1:", "dead-file")
        self.plant_source('#include "base/slot.h"\n')
        self.assert_clean()

    def test_dead_public_header(self):
        self.plant("client/include/basalt/a.h", "")
        self.assert_violation("client/include/basalt/a.h:1:", "dead-file")
        self.plant_source("#include <basalt/a.h>\n")
        self.assert_clean()

    def test_excuses(self):
        to_do, no_lint = "TO" + "DO", "NO" + "LINT"
        for text in (f"int x;  // {no_lint}", f"int x;  // {no_lint}(bugprone-x)",
                     f"// {no_lint}NEXTLINE(bugprone-x)", f"// {to_do}: later",
                     f"// {to_do}(me): x", "// FIX" + "ME broken", "GTEST_SKIP();",
                     "TEST(A, DISABLED_B) {}"):
            with self.subTest(text=text):
                self.assert_source_violates("\n" + text + "\n", "excuse", 2)
        self.assert_source_is_clean(
            f"int x;  // {no_lint}(bugprone-x): the parser hands out this order\n"
            f"// {to_do}(exactly once): sessions decide this then\n"
            'void F() { GTEST_SKIP() << "no xfs"; }\n')

    def test_detached_threads(self):
        self.plant("base/a.cc", "void F() {\n  std::thread(G).detach();\n}\n")
        self.assert_violation("base/a.cc:2:", "detach")
        self.plant("base/a.cc", "void F() {\n  thread->detach ();\n}\n")
        self.assert_violation("base/a.cc:2:", "detach")
        self.assert_source_is_clean("bool detach = Detached(thread);\n")

    def test_sleeps_in_tests(self):
        self.plant("tests/CMakeLists.txt", "x(SRCS a.cc)\n")
        self.plant("tests/a.cc", "void F() {\n  std::this_thread::sleep_for(x);\n}\n")
        self.assert_violation("tests/a.cc:2:", "sleep")
        self.setUp()
        self.plant("tests/a.py", "import time\ntime." + "sleep(1)\n")
        self.assert_violation("tests/a.py:2:", "sleep")
        self.setUp()
        self.plant("tests/a.sh", "while true; do sleep 1; done\n")
        self.assert_violation("tests/a.sh:1:", "sleep")
        self.assert_source_is_clean("void F() { sleep_for(x); }\n")

    def test_extension(self):
        self.plant("base/slot.cpp", "")
        self.assert_violation("base/slot.cpp:1:", "extension")

    def test_exemptions(self):
        friend = "class A {\n  friend class B;\n};\n"
        exempt = "exempt friend base/slot.cc because the test says so\n"
        self.plant_source(friend)
        self.plant("scripts/exemptions.txt", "max friend 1\n" + exempt)
        self.assert_clean()
        self.plant("scripts/exemptions.txt", exempt)
        self.assert_violation("scripts/exemptions.txt", "exemption", "at most 0")
        self.plant("scripts/exemptions.txt", "max friend 1\nexempt friend base/slot.cc\n")
        self.assert_violation("scripts/exemptions.txt:2:", "exemption")
        self.plant("scripts/exemptions.txt", "max friend 1\n" + exempt)
        self.plant_source("")
        self.assert_violation("scripts/exemptions.txt", "exemption", "exempts nothing")


if __name__ == "__main__":
    unittest.main()
