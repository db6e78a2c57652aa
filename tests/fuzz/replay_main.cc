// A fuzzer without libFuzzer, for every build: runs it on the files that are named or stand in the
// folders that are named, and on seeded changes of each.
//
// usage: fuzz_<name> [--changes N] PATH...
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

namespace fs = std::filesystem;

char g_running[512];

void OnAbort(int) {
  std::fprintf(stderr, "while running %s\n", g_running);
  std::signal(SIGABRT, SIG_DFL);
}

std::string Read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << stream.rdbuf();
  return bytes.str();
}

std::vector<fs::path> FilesOf(const std::vector<std::string>& paths) {
  std::vector<fs::path> files;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void Run(const fs::path& file, int changes) {
  const std::string bytes = Read(file);
  std::snprintf(g_running, sizeof g_running, "%s", file.c_str());
  basalt::fuzz::FuzzOne(basalt::fuzz::FuzzInput(bytes));
  for (int change = 1; change <= changes; ++change) {
    std::snprintf(g_running, sizeof g_running, "%s, change %d", file.c_str(), change);
    basalt::base::Random random(static_cast<uint64_t>(change));
    std::string decisions(24, '\0');
    for (char& byte : decisions) byte = static_cast<char>(random.Next());
    basalt::fuzz::FuzzOne(
        basalt::fuzz::FuzzInput(basalt::fuzz::FuzzInput(decisions).Damaged(bytes)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  int changes = 0;
  if (paths.size() >= 2 && paths[0] == "--changes") {
    changes = std::atoi(paths[1].c_str());
    paths.erase(paths.begin(), paths.begin() + 2);
  }
  const std::vector<fs::path> files = FilesOf(paths);
  if (files.empty()) {
    std::fprintf(stderr, "usage: %s [--changes N] PATH...: no files\n", argv[0]);
    return 2;
  }
  std::signal(SIGABRT, OnAbort);
  for (const fs::path& file : files) Run(file, changes);
  std::printf("%zu files, %d changes of each\n", files.size(), changes);
  return 0;
}
