// basalt_stage_bench: what each stage of a put and of a get costs.
//
//   basalt_stage_bench [flags of Google Benchmark]   times them
//   basalt_stage_bench --list                        their names
//   basalt_stage_bench --count STAGE RUNS DIRECTORY  for scripts/stage_costs, under valgrind
//
// Counting, whatever lies between the two marks on standard error, and in instructions whatever
// happens inside CountedRun, is the stage's own.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "tests/bench/counted_heap.h"
#include "tests/bench/stage.h"

namespace basalt::bench {
namespace {

constexpr int kWarmUpRuns = 32;

// Costs that are known: a measure that does not find them counts nothing else right either. Three
// allocations and one system call an operation.
class Calibration final : public Stage {
 public:
  void Run() override {
    for (size_t i = 0; i < kBatch; ++i) {
      for (size_t bytes : {40, 400, 4000}) {
        std::unique_ptr<char[]> block(new char[bytes]);
        benchmark::DoNotOptimize(block.get());
      }
      benchmark::DoNotOptimize(getppid());
    }
  }
};

std::vector<StageKind> AllStages() {
  std::vector<StageKind> all = {{"calibration", MakeStage<Calibration>}};
  for (const auto& stages : {MessageStages(), RoutingStages(), RaftStages(), ShardStages()}) {
    all.insert(all.end(), stages.begin(), stages.end());
  }
  return all;
}

// The name that callgrind looks for; never inlined, and no tail call.
[[gnu::noinline]] void CountedRun(Stage& stage) {
  stage.Run();
  benchmark::ClobberMemory();
}

void Mark(std::string_view text) {
  BASALT_CHECK(write(STDERR_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

int Count(const StageKind& kind, int runs, const std::string& directory) {
  const std::unique_ptr<Stage> stage = kind.make(directory);
  for (int i = 0; i < kWarmUpRuns; ++i) {
    stage->Prepare();
    stage->Run();
  }
  uint64_t allocations = 0;
  for (int i = 0; i < runs; ++i) {
    stage->Prepare();
    Mark("stage begins\n");
    const uint64_t before = Allocations();
    CountedRun(*stage);
    allocations += Allocations() - before;
    Mark("stage ends\n");
  }
  fmt::print("operations {}\nallocations {}\n", static_cast<size_t>(runs) * kBatch, allocations);
  return 0;
}

class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "basalt-stage-XXXXXX").string();
    BASALT_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void Time(benchmark::State& state, const StageKind& kind) {
  const ScratchDirectory scratch;
  const std::unique_ptr<Stage> stage = kind.make(scratch.path());
  uint64_t allocations = 0;
  while (state.KeepRunning()) {
    stage->Prepare();
    const uint64_t before = Allocations();
    const auto begin = std::chrono::steady_clock::now();
    stage->Run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    allocations += Allocations() - before;
    state.SetIterationTime(took.count());
  }
  const auto operations = static_cast<double>(state.iterations()) * kBatch;
  state.SetItemsProcessed(static_cast<int64_t>(operations));
  state.counters["allocations_per_op"] = static_cast<double>(allocations) / operations;
}

int Main(int argc, char** argv) {
  const std::vector<StageKind> stages = AllStages();
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && words[0] == "--list") {
    for (const StageKind& kind : stages) fmt::print("{}\n", kind.name);
    return 0;
  }
  if (words.size() == 4 && words[0] == "--count") {
    for (const StageKind& kind : stages) {
      if (kind.name == words[1]) return Count(kind, std::atoi(words[2].c_str()), words[3]);
    }
    fmt::print(stderr, "basalt_stage_bench: no stage {}\n", words[1]);
    return 2;
  }
// What the library owns from here on looks like a leak; ends when the analyzer sees it handed over.
#ifndef __clang_analyzer__
  for (const StageKind& kind : stages) {
    benchmark::RegisterBenchmark(std::string(kind.name).c_str(), [kind](benchmark::State& state) {
      Time(state, kind);
    })->UseManualTime();
  }
#endif
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace basalt::bench

int main(int argc, char** argv) { return basalt::bench::Main(argc, argv); }
