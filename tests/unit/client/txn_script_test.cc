// What `kvctl txn` takes from standard input.
#include "client/kvctl/txn_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace basalt::kvctl {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(TxnScriptTest, EachVerb) {
  const TxnScript script = ParseTxnScript(
      "# a comment\n"
      "get a\r\n"
      "\n"
      "put b two words \n"
      "put \\x20c \n"
      "del d\n"
      "check e version 18446744073709551615\n"
      "check f value x y\n"
      "check g value \n"
      "check h absent",
      false);
  ASSERT_EQ(script.problem, "");
  ASSERT_EQ(script.lines.size(), 8u);
  EXPECT_EQ(script.lines[0].kind, TxnLine::Kind::kGet);
  EXPECT_EQ(script.lines[0].key, "a");
  EXPECT_EQ(script.lines[1].kind, TxnLine::Kind::kPut);
  EXPECT_EQ(script.lines[1].value, "two words ");
  EXPECT_EQ(script.lines[2].key, " c");
  EXPECT_EQ(script.lines[2].value, "");
  EXPECT_EQ(script.lines[3].kind, TxnLine::Kind::kDelete);
  EXPECT_EQ(script.lines[4].kind, TxnLine::Kind::kCheck);
  EXPECT_EQ(script.lines[4].condition.version, UINT64_MAX);
  EXPECT_EQ(script.lines[5].condition.value, "x y");
  EXPECT_EQ(script.lines[6].condition.kind, Condition::Kind::kValue);
  EXPECT_EQ(script.lines[6].condition.value, "");
  EXPECT_EQ(script.lines[7].condition.kind, Condition::Kind::kAbsent);
}

// V is the rest of the line, whoever ends lines how.
TEST(TxnScriptTest, ACarriageReturnIsOfTheValueWhereThereIsOne) {
  const TxnScript script = ParseTxnScript(
      "put a v\r\n"
      "put b \r\n"
      "put c v\r\r\n"
      "check d value v\r\n"
      "put e v\r",
      false);
  ASSERT_EQ(script.problem, "");
  EXPECT_EQ(script.lines[0].value, "v\r");
  EXPECT_EQ(script.lines[1].value, "\r");
  EXPECT_EQ(script.lines[2].value, "v\r\r");
  EXPECT_EQ(script.lines[3].condition.value, "v\r");
  EXPECT_EQ(script.lines[4].value, "v\r");

  const TxnScript others = ParseTxnScript(
      "# a comment\r\n\r\nget a\r\ndel b\r\ncheck c absent\r\ncheck d version 7\r\n", false);
  ASSERT_EQ(others.problem, "");
  ASSERT_EQ(others.lines.size(), 4u);
  EXPECT_EQ(others.lines[0].key, "a");
  EXPECT_EQ(others.lines[1].key, "b");
  EXPECT_EQ(others.lines[3].condition.version, 7u);
  EXPECT_THAT(ParseTxnScript("put a\r\n", false).problem, HasSubstr("the value is missing"));
  EXPECT_THAT(ParseTxnScript("check a value\r\n", false).problem,
              HasSubstr("the value is missing"));

  const TxnScript hex = ParseTxnScript("put 6b 00ff\r\n", true);
  ASSERT_EQ(hex.problem, "");
  EXPECT_EQ(hex.lines[0].value, std::string("\0\xff", 2));
}

TEST(TxnScriptTest, InHex) {
  const TxnScript script = ParseTxnScript("put 6b 00ff\ncheck 6b value 00\n", true);
  ASSERT_EQ(script.problem, "");
  EXPECT_EQ(script.lines[0].key, "k");
  EXPECT_EQ(script.lines[0].value, std::string("\0\xff", 2));
  EXPECT_EQ(script.lines[1].condition.value, std::string("\0", 1));
  EXPECT_THAT(ParseTxnScript("put 6b 0g\n", true).problem, StartsWith("line 1: "));
  EXPECT_THAT(ParseTxnScript("put 6 00\n", true).problem, StartsWith("line 1: "));
}

TEST(TxnScriptTest, WhatIsMalformedIsNamedByItsLine) {
  const auto problem = [](const std::string& line) {
    const TxnScript script = ParseTxnScript("get a\n" + line + "\nget b\n", false);
    EXPECT_THAT(script.problem, StartsWith("line 2: ")) << line;
    return script.problem;
  };
  EXPECT_THAT(problem("take a"), HasSubstr("'take'"));
  EXPECT_THAT(problem("GET a"), HasSubstr("'GET'"));
  EXPECT_THAT(problem("scan a"), HasSubstr("of keys, not of ranges"));
  EXPECT_THAT(problem("\x1b[2J a"), HasSubstr("'\\x1b[2J'")) << "it goes to a terminal";
  EXPECT_LT(problem(std::string(1 << 20, 'x') + " a").size(), 100u);
  problem(" get a");
  problem("get");
  problem("get ");
  problem("get  a");
  problem("get a b");
  problem("del a b");
  problem("put");
  EXPECT_THAT(problem("put a"), HasSubstr("the value is missing"));
  EXPECT_THAT(problem("check a value"), HasSubstr("the value is missing"));
  problem("put  v");
  problem("put a\\x v");
  problem("put a v\\");
  problem("check a");
  problem("check a is b");
  problem("check a absent now");
  problem("check a version");
  problem("check a version -1");
  problem("check a version 1x");
  problem("check a version 18446744073709551616");
  problem("check a value \\q");
}

TEST(TxnScriptTest, WhatBreaksALimitIsNamedByItsLine) {
  const std::string key(4096, 'k');
  const std::string value(8 << 20, 'v');
  EXPECT_EQ(ParseTxnScript("get " + key + "\nput a " + value + "\n", false).problem, "");
  for (const std::string& line :
       {"get k" + key, "put k" + key + " v", "del k" + key, "check k" + key + " absent"}) {
    EXPECT_EQ(ParseTxnScript("get a\n\n" + line + "\n", false).problem,
              "line 3: the key has 4097 bytes; the limit is 4 KiB");
  }
  EXPECT_EQ(ParseTxnScript("get a\nput a v" + value + "\n", false).problem,
            "line 2: the value has 8388609 bytes; the limit is 8 MiB");
}

TEST(TxnScriptTest, NothingToDoIsAProblem) {
  for (const char* text : {"", "\n\n", "# nothing\n"}) {
    EXPECT_NE(ParseTxnScript(text, false).problem, "") << text;
  }
}

TEST(TxnScriptTest, WhenConditionsHold) {
  const std::optional<Value> none;
  const std::optional<Value> value = Value{"v", 7};
  EXPECT_TRUE(Holds(Condition::Absent(), none));
  EXPECT_FALSE(Holds(Condition::Absent(), value));
  EXPECT_TRUE(Holds(Condition::ValueIs("v"), value));
  EXPECT_FALSE(Holds(Condition::ValueIs("w"), value));
  EXPECT_FALSE(Holds(Condition::ValueIs(""), none));
  EXPECT_TRUE(Holds(Condition::VersionIs(7), value));
  EXPECT_FALSE(Holds(Condition::VersionIs(6), value));
  EXPECT_TRUE(Holds(Condition::VersionIs(0), none));
  EXPECT_FALSE(Holds(Condition::VersionIs(0), value));
}

}  // namespace
}  // namespace basalt::kvctl
