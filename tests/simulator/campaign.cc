#include "tests/simulator/campaign.h"

#include <poll.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "tests/simulator/child_run.h"

namespace basalt::testing {
namespace {

void Print(const Failure& failure) {
  for (const std::string& violation : failure.violations) {
    std::printf("violation: %s\n", violation.c_str());
  }
  std::printf("  to see it again: %s\n", ReplayCommand(failure.options).c_str());
  if (failure.trace_hash != 0) {
    std::printf("  whose trace is %016llx\n", static_cast<unsigned long long>(failure.trace_hash));
  }
  std::fflush(stdout);
}

ChildRun::Run ToRun(const RunOptions& options) {
  return [options](std::atomic<uint64_t>& trace_hash) {
    RunOptions run = options;
    run.trace_hash = &trace_hash;
    return RunSimulation(run);
  };
}

struct Started {
  RunOptions options;
  std::unique_ptr<ChildRun> child;
};

// Calls `next` for another run whenever there is room, until it has none and all have ended.
void RunAll(unsigned jobs, Tally& tally, const std::function<std::optional<RunOptions>()>& next) {
  std::vector<Started> started;
  bool more = true;
  while (more || !started.empty()) {
    while (more && started.size() < jobs) {
      const std::optional<RunOptions> options = next();
      more = options.has_value();
      if (!more) break;
      started.push_back({*options, std::make_unique<ChildRun>(ToRun(*options))});
    }
    std::vector<pollfd> waits;
    waits.reserve(started.size());
    for (const Started& run : started) waits.push_back({run.child->descriptor(), POLLIN, 0});
    if (waits.empty() || ::poll(waits.data(), waits.size(), -1) <= 0) continue;
    for (size_t i = waits.size(); i-- > 0;) {
      if (waits[i].revents == 0 || started[i].child->Read()) continue;
      tally.Add(started[i].options, started[i].child->Take());
      started.erase(started.begin() + static_cast<ptrdiff_t>(i));
    }
  }
}

}  // namespace

void Tally::Add(const RunOptions& options, RunReport report) {
  ++runs;
  operations += report.operations;
  virtual_time += report.virtual_time;
  ++runs_by_family[std::string(NameOf(options.family))];
  for (const auto& [mark, count] : report.reached) reached[mark] += count;
  for (const auto& [kind, count] : report.faults) faults[kind] += count;
  if (report.violations.empty()) return;
  failures.push_back({options, std::move(report.violations), report.trace_hash});
  Print(failures.back());
}

Tally RunCampaign(const CampaignOptions& options) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + options.budget;
  Tally tally;
  uint64_t begun = 0;
  RunAll(options.jobs, tally, [&]() -> std::optional<RunOptions> {
    if (Clock::now() >= end || begun == options.runs_max ||
        tally.failures.size() >= options.failures_max) {
      return std::nullopt;
    }
    const size_t families = options.families.size();
    RunOptions run;
    run.family = options.families[begun % families];
    run.seed = options.first_seed + begun / families;
    run.duration = options.duration;
    ++begun;
    return run;
  });
  return tally;
}

RunReport RunApart(const RunOptions& options) { return RunInChild(ToRun(options)); }

Tally RunEach(const std::vector<RunOptions>& runs, unsigned jobs) {
  Tally tally;
  size_t begun = 0;
  RunAll(jobs, tally, [&]() -> std::optional<RunOptions> {
    if (begun == runs.size()) return std::nullopt;
    return runs[begun++];
  });
  return tally;
}

}  // namespace basalt::testing
