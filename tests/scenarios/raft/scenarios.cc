// raft_scenarios [--rewrite] [NAME]...: every *.txt of this folder, or those named, is a test; with
// --rewrite their answers are written anew (scenario_file.h says when that is refused).

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/scenarios/driver/scenario_file.h"
#include "tests/scenarios/raft/script.h"

namespace basalt::raft {
namespace {

using Names = std::vector<std::string>;

std::string PathOf(const std::string& name) {
  return std::string(BASALT_SCENARIO_DIR) + "/" + name + ".txt";
}

class Scenario : public ::testing::TestWithParam<std::string> {};

TEST_P(Scenario, AnswersAsWritten) {
  Script script;
  const std::string text = scenario::ReadText(PathOf(GetParam()));
  for (const std::string& fault : scenario::CompareText(GetParam() + ".txt", text, script)) {
    ADD_FAILURE() << fault;
  }
}

Names AllNames() {
  Names names;
  for (const auto& file : std::filesystem::directory_iterator(BASALT_SCENARIO_DIR)) {
    if (file.path().extension() == ".txt" && file.path().filename() != "CMakeLists.txt") {
      names.push_back(file.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Raft, Scenario, ::testing::ValuesIn(AllNames()),
                         [](const auto& scenario) { return scenario.param; });

bool Rewrite(const Names& names) {
  bool all = true;
  for (const std::string& name : names) {
    Script script;
    all = scenario::RewriteFile(PathOf(name), script, std::cerr) && all;
  }
  return all;
}

int Run(const Names& words) {
  bool rewrite = false;
  Names names;
  const Names all = AllNames();
  std::string filter;
  for (const std::string& word : words) {
    if (word == "--rewrite") {
      rewrite = true;
      continue;
    }
    if (std::find(all.begin(), all.end(), word) == all.end()) {
      std::cerr << "no scenario is named " << word << "\n";
      return 2;
    }
    names.push_back(word);
    filter += (filter.empty() ? "" : ":") + ("*/" + word);
  }
  if (rewrite) return Rewrite(names.empty() ? all : names) ? 0 : 1;
  if (!names.empty()) ::testing::GTEST_FLAG(filter) = filter;
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace basalt::raft

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return basalt::raft::Run({argv + 1, argv + argc});
}
