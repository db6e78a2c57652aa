// Runs every *.txt of this folder: blocks of commands, "----", and the exact answer.
//
// A line of an answer that begins with "!" is what the scenario is about. `--rewrite` writes the
// answers anew, but never over a decisive line: when one of them would change, the file stays and
// the test fails.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/scenarios/raft/script.h"

namespace basalt::raft {
namespace {

bool rewrite = false;

struct Block {
  std::vector<std::string> head;      // comments and commands as they stand
  std::vector<std::string> expected;  // with their "!"
};

std::string Bare(const std::string& line) {
  return !line.empty() && line[0] == '!' ? line.substr(1) : line;
}

std::vector<Block> Parse(const std::string& path) {
  std::ifstream file(path);
  std::vector<Block> blocks(1);
  bool in_answer = false;
  for (std::string line; std::getline(file, line);) {
    if (line == "----") {
      in_answer = true;
    } else if (in_answer && line.empty()) {
      blocks.emplace_back();
      in_answer = false;
    } else {
      (in_answer ? blocks.back().expected : blocks.back().head).push_back(line);
    }
  }
  return blocks;
}

bool IsCommand(const std::string& line) { return !line.empty() && line[0] != '#'; }

std::vector<std::string> Answer(Script& script, const Block& block) {
  std::vector<std::string> answer;
  for (const std::string& line : block.head) {
    if (!IsCommand(line)) continue;
    for (std::string& text : script.Do(line)) answer.push_back(std::move(text));
  }
  return answer;
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// The answer with the decisive marks of what was expected; false when a decisive line is gone.
bool KeepMarks(const std::vector<std::string>& expected, std::vector<std::string>& answer) {
  size_t from = 0;
  for (const std::string& line : expected) {
    if (line.empty() || line[0] != '!') continue;
    while (from < answer.size() && answer[from] != Bare(line)) ++from;
    if (from == answer.size()) return false;
    answer[from] = line;
  }
  return true;
}

class Scenario : public ::testing::TestWithParam<std::string> {};

TEST_P(Scenario, AnswersAsWritten) {
  const std::string path = std::string(BASALT_SCENARIO_DIR) + "/" + GetParam() + ".txt";
  Script script;
  std::string written;
  bool has_decisive = false;
  for (const Block& block : Parse(path)) {
    std::vector<std::string> answer = Answer(script, block);
    std::vector<std::string> expected;
    for (const std::string& line : block.expected) {
      has_decisive = has_decisive || line[0] == '!';
      expected.push_back(Bare(line));
    }
    if (!rewrite) {
      EXPECT_EQ(Joined(expected), Joined(answer)) << "after\n" << Joined(block.head);
      continue;
    }
    EXPECT_TRUE(KeepMarks(block.expected, answer)) << "a decisive line would change after\n"
                                                   << Joined(block.head);
    written += Joined(block.head);
    if (std::any_of(block.head.begin(), block.head.end(), IsCommand)) {
      written += "----\n" + Joined(answer) + "\n";
    }
  }
  EXPECT_EQ(script.violation(), "");
  EXPECT_TRUE(rewrite || has_decisive) << "no line is marked decisive";
  if (rewrite && !HasFailure()) {
    while (written.ends_with("\n\n")) written.pop_back();
    std::ofstream(path) << written;
  }
}

std::vector<std::string> ScenarioNames() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(BASALT_SCENARIO_DIR)) {
    if (file.path().extension() == ".txt" && file.path().filename() != "CMakeLists.txt") {
      names.push_back(file.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Raft, Scenario, ::testing::ValuesIn(ScenarioNames()),
                         [](const auto& scenario) { return scenario.param; });

}  // namespace
}  // namespace basalt::raft

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--rewrite") basalt::raft::rewrite = true;
  }
  return RUN_ALL_TESTS();
}
