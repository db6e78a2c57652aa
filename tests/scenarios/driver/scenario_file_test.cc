#include "tests/scenarios/driver/scenario_file.h"

#include <fstream>
#include <map>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace basalt::scenario {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Says what the test put in its mouth.
class Parrot : public Subject {
 public:
  std::vector<std::string> Do(const std::string& command) override { return answers[command]; }
  std::string violation() const override { return wrong; }

  std::map<std::string, std::vector<std::string>> answers{{"ask", {"one", "two", "three"}},
                                                          {"be quiet", {}}};
  std::string wrong;
};

const char* const kText =
    "# rule: what it answers\n"
    "#   to the question\n"
    "# source: dissertation 3.4\n"
    "\n"
    "# A comment.\n"
    "ask\n"
    "----\n"
    "one\n"
    "!two\n"
    "three\n"
    "\n"
    "be quiet\n"
    "----\n"
    "!\n";

std::string Without(const std::string& part) {
  std::string text = kText;
  text.erase(text.find(part), part.size());
  return text;
}

Faults Compare(const std::string& text, Parrot parrot = {}) {
  return CompareText("name.txt", text, parrot);
}

Rewritten Rewrite(const std::string& text, Parrot parrot = {}) {
  return RewriteText("name.txt", text, parrot);
}

TEST(ScenarioFile, WhatIsAnsweredAsWrittenStays) {
  EXPECT_THAT(Compare(kText), IsEmpty());
  const Rewritten same = Rewrite(kText);
  EXPECT_THAT(same.faults, IsEmpty());
  EXPECT_EQ(same.text, kText);
}

TEST(ScenarioFile, AChangedUnmarkedLineFailsAndIsRewritten) {
  Parrot parrot;
  parrot.answers["ask"] = {"one", "two", "four"};
  EXPECT_THAT(Compare(kText, parrot), ElementsAre(HasSubstr("name.txt:10: expected \"three\"\n"
                                                            "  answered \"four\"")));
  const Rewritten now = Rewrite(kText, parrot);
  EXPECT_THAT(now.faults, IsEmpty());
  EXPECT_THAT(now.text, HasSubstr("one\n!two\nfour\n\nbe quiet"));
  EXPECT_THAT(Compare(now.text, parrot), IsEmpty());
}

TEST(ScenarioFile, LinesAroundADecisiveOneMayComeAndGo) {
  Parrot parrot;
  parrot.answers["ask"] = {"zero", "one", "two"};
  EXPECT_EQ(Compare(kText, parrot).size(), 1u);
  EXPECT_THAT(Rewrite(kText, parrot).text, HasSubstr("----\nzero\none\n!two\n\n"));
}

TEST(ScenarioFile, AChangedDecisiveLineFailsAndIsNotRewritten) {
  Parrot parrot;
  parrot.answers["ask"] = {"one", "2", "three"};
  EXPECT_THAT(Compare(kText, parrot), ElementsAre(HasSubstr("name.txt:9: expected \"two\"")));
  const Rewritten refused = Rewrite(kText, parrot);
  EXPECT_THAT(refused.faults, ElementsAre("name.txt:9: a decisive line would change: !two"));
  EXPECT_EQ(refused.text, "");
}

TEST(ScenarioFile, ALostDecisiveLineIsNotRewritten) {
  Parrot parrot;
  parrot.answers["ask"] = {};
  EXPECT_THAT(Compare(kText, parrot), ElementsAre(HasSubstr("name.txt:8: ")));
  EXPECT_THAT(Rewrite(kText, parrot).faults, ElementsAre(HasSubstr("name.txt:9: a decisive")));
}

TEST(ScenarioFile, DecisiveLinesKeepTheirOrder) {
  std::string text = kText;
  text.replace(text.find("three"), 5, "!three");
  Parrot parrot;
  parrot.answers["ask"] = {"three", "two"};
  EXPECT_THAT(Rewrite(text, parrot).faults, ElementsAre(HasSubstr("name.txt:10: a decisive")));
}

TEST(ScenarioFile, ADecisiveSilenceIsNotRewritten) {
  Parrot parrot;
  parrot.answers["be quiet"] = {"no"};
  EXPECT_THAT(Compare(kText, parrot), ElementsAre(HasSubstr("name.txt:14: ")));
  EXPECT_THAT(Rewrite(kText, parrot).faults, ElementsAre(HasSubstr("name.txt:14: the silence")));
}

TEST(ScenarioFile, OneRefusedBlockKeepsTheWholeFile) {
  const std::string path = ::testing::TempDir() + "/scenario_file_test.txt";
  std::ofstream(path) << kText;
  Parrot parrot;
  parrot.answers["ask"] = {"one", "two", "four"};
  parrot.answers["be quiet"] = {"no"};
  std::ostringstream says;
  EXPECT_FALSE(RewriteFile(path, parrot, says));
  EXPECT_EQ(ReadText(path), kText);
  EXPECT_THAT(says.str(), HasSubstr("scenario_file_test.txt:14: the silence"));

  parrot.answers["be quiet"] = {};
  EXPECT_TRUE(RewriteFile(path, parrot, says));
  EXPECT_THAT(ReadText(path), HasSubstr("!two\nfour\n"));
  EXPECT_THAT(says.str(), HasSubstr("scenario_file_test.txt: rewritten\n"));
}

TEST(ScenarioFile, RuleAndSourceAreDemanded) {
  const std::string no_rule = Without("# rule: what it answers\n#   to the question\n");
  EXPECT_THAT(Compare(no_rule), ElementsAre(HasSubstr("name.txt:1: a scenario opens with")));
  EXPECT_THAT(Rewrite(no_rule).faults, ElementsAre(HasSubstr("name.txt:1: a scenario opens")));
  const std::string no_source = Without("# source: dissertation 3.4\n");
  EXPECT_THAT(Compare(no_source), ElementsAre(HasSubstr("name.txt:3: \"# source: ...\" follows")));
  EXPECT_THAT(Compare(Without("dissertation 3.4")), ElementsAre(HasSubstr("name.txt:3: ")));
  std::string rumour = kText;
  rumour.replace(rumour.find("dissertation 3.4"), 16, "somebody said so");
  EXPECT_THAT(Compare(rumour), ElementsAre(HasSubstr("name.txt:3: a source is")));
}

TEST(ScenarioFile, OnlyRuleSourceAndEtcdStandInTheHeader) {
  std::string text = kText;
  text.insert(text.find("\n\n") + 1, "# etcd: agrees\n");
  EXPECT_THAT(Compare(text), IsEmpty());
  text.insert(text.find("\n\n") + 1, "# author: me\n");
  EXPECT_THAT(Compare(text), ElementsAre(HasSubstr("name.txt:5: after rule, source and etcd")));
}

TEST(ScenarioFile, ADecisiveLineIsDemanded) {
  const std::string bland = "# rule: r\n# source: paper 5\n\nask\n----\none\ntwo\nthree\n";
  EXPECT_THAT(Compare(bland), ElementsAre("name.txt:8: no line is marked decisive (\"!\")"));
  EXPECT_THAT(Rewrite(bland).faults, ElementsAre(HasSubstr("no line is marked decisive")));
}

TEST(ScenarioFile, SilenceBesideOtherLinesIsNoAnswer) {
  std::string text = kText;
  text.insert(text.find("!two"), "!\n");
  EXPECT_THAT(Rewrite(text).faults, ::testing::Contains(HasSubstr("name.txt:9: \"!\" alone is")));
}

TEST(ScenarioFile, CommandsWithoutAnAnswerAreAFault) {
  const std::string text = std::string(kText) + "\nask\n";
  EXPECT_THAT(Rewrite(text).faults,
              ElementsAre("name.txt:16: commands and \"----\" come together"));
}

TEST(ScenarioFile, AnErrorIsNeverRight) {
  Parrot parrot;
  parrot.answers["ask"] = {"one", "two", "three", "error: no"};
  EXPECT_THAT(Rewrite(kText, parrot).faults, ElementsAre("name.txt:6: error: no"));
}

TEST(ScenarioFile, AViolationFailsBoth) {
  Parrot parrot;
  parrot.wrong = "two leaders";
  EXPECT_THAT(Compare(kText, parrot), ElementsAre("name.txt:14: violation: two leaders"));
  EXPECT_THAT(Rewrite(kText, parrot).faults, ElementsAre(HasSubstr("violation: two leaders")));
}

}  // namespace
}  // namespace basalt::scenario
