// basalt_simulator: runs whole clusters from seeds. `./dev sim` is the way to call it.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "base/version.h"
#include "tests/simulator/campaign.h"
#include "tests/simulator/kept_files.h"
#include "tests/simulator/speed.h"

namespace basalt::testing {
namespace {

struct Arguments {
  std::string family;
  uint64_t seed = 0;
  int64_t run_seconds = std::chrono::duration_cast<seconds>(kDefaultDuration).count();
  std::string trace;
  bool plan = false;
  bool here = false;
  int64_t check_fails_after_ms = 0;
  int64_t budget_seconds = 0;
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  std::string marks;
  std::string summary;
  std::string kept;
  std::string hashes;
  std::string compare;
  uint64_t hash_seeds = 3;
  bool leases_all_the_same = false;
  bool clocks_within_bound = false;
  bool speed = false;
  double speed_least = kSpeedGoal;
  bool commit = false;
};

std::vector<Family> FamiliesOf(const Arguments& arguments) {
  if (arguments.family.empty()) return {std::begin(kFamilies), std::end(kFamilies)};
  return {*FamilyOf(arguments.family)};
}

RunOptions RunOf(const Arguments& arguments, Family family) {
  RunOptions run;
  run.family = family;
  run.seed = arguments.seed;
  run.duration = seconds(arguments.run_seconds);
  run.check_fails_after = milliseconds(arguments.check_fails_after_ms);
  run.leases_all_the_same = arguments.leases_all_the_same;
  run.clocks_within_bound = arguments.clocks_within_bound;
  return run;
}

void PrintPlan(const RunOptions& run) {
  for (const Fault& fault : PlanOf(run)) {
    const std::string victim = fault.victim != 0
                                   ? "node " + std::to_string(fault.victim)
                                   : "leader of shard " + std::to_string(fault.leader_of);
    std::printf("%8.3f s  %-32s %-18s for %.3f s\n",
                std::chrono::duration<double>(fault.at).count(),
                std::string(NameOf(fault.kind)).c_str(), victim.c_str(),
                std::chrono::duration<double>(fault.lasts).count());
  }
}

// The trace hash comes last, also that of a run that a CHECK ended.
int RunOne(const Arguments& arguments) {
  const Family family =
      arguments.family.empty() ? Family::kEverything : *FamilyOf(arguments.family);
  RunOptions run = RunOf(arguments, family);
  if (arguments.plan) PrintPlan(run);
  run.trace = arguments.trace;
  const RunReport report = arguments.here ? RunSimulation(run) : RunApart(run);
  for (const auto& [mark, count] : report.reached) {
    std::printf("%10llu  %s\n", static_cast<unsigned long long>(count), mark.c_str());
  }
  for (const std::string& violation : report.violations) {
    std::printf("violation: %s\n", violation.c_str());
  }
  std::printf("trace %016llx\n", static_cast<unsigned long long>(report.trace_hash));
  return report.violations.empty() ? 0 : 1;
}

void WriteSummary(const Arguments& arguments, const Tally& tally, double took) {
  nlohmann::ordered_json summary;
  summary["first_seed"] = arguments.seed;
  summary["seconds"] = took;
  summary["runs"] = tally.runs;
  summary["runs_per_s"] = static_cast<double>(tally.runs) / took;
  summary["virtual_hours"] = std::chrono::duration<double>(tally.virtual_time).count() / 3600;
  summary["operations"] = tally.operations;
  summary["failures"] = tally.failures.size();
  summary["runs_by_family"] = tally.runs_by_family;
  summary["faults"] = tally.faults;
  summary["reached"] = tally.reached;
  std::ofstream(arguments.summary) << summary.dump(1) << "\n";
}

void PrintTally(const Tally& tally, double took) {
  for (const auto& [kind, count] : tally.faults) {
    std::printf("%10llu  fault: %s\n", static_cast<unsigned long long>(count), kind.c_str());
  }
  for (const auto& [mark, count] : tally.reached) {
    std::printf("%10llu  %s\n", static_cast<unsigned long long>(count), mark.c_str());
  }
  std::printf("%llu runs, %.1f virtual hours, %llu operations, %.1f runs/s, %zu failed\n",
              static_cast<unsigned long long>(tally.runs),
              std::chrono::duration<double>(tally.virtual_time).count() / 3600,
              static_cast<unsigned long long>(tally.operations),
              static_cast<double>(tally.runs) / took, tally.failures.size());
}

bool ReachesMarks(const Arguments& arguments, const Tally& tally) {
  const auto wanted = ReadMarks(arguments.marks);
  if (!wanted.ok()) {
    std::printf("%s\n", base::Message(wanted.status()).c_str());
    return false;
  }
  std::map<std::string, uint64_t> reached = tally.reached;
  for (const auto& [kind, count] : tally.faults) reached["fault: " + kind] = count;
  const std::vector<std::string> unreached =
      FindUnreached(*wanted, reached, static_cast<uint64_t>(arguments.budget_seconds));
  for (const std::string& line : unreached) std::printf("%s\n", line.c_str());
  return unreached.empty();
}

int RunBudget(const Arguments& arguments) {
  CampaignOptions options;
  options.families = FamiliesOf(arguments);
  options.first_seed = arguments.seed;
  options.budget = seconds(arguments.budget_seconds);
  options.jobs = arguments.jobs;
  options.duration = seconds(arguments.run_seconds);
  std::printf("seeds from %llu on, %lld seconds\n",
              static_cast<unsigned long long>(options.first_seed),
              static_cast<long long>(arguments.budget_seconds));
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const Tally tally = RunCampaign(options);
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  PrintTally(tally, took);
  if (!arguments.summary.empty()) WriteSummary(arguments, tally, took);
  // One family alone does not reach what all together must.
  const bool judged = !arguments.marks.empty() && arguments.family.empty();
  const bool reached = !judged || ReachesMarks(arguments, tally);
  return tally.failures.empty() && reached ? 0 : 1;
}

int RunKept(const Arguments& arguments) {
  const auto runs = ReadSeeds(arguments.kept);
  if (!runs.ok()) {
    std::printf("%s\n", base::Message(runs.status()).c_str());
    return 2;
  }
  const Tally tally = RunEach(*runs, arguments.jobs);
  std::printf("%llu kept seeds, %zu failed\n", static_cast<unsigned long long>(tally.runs),
              tally.failures.size());
  return tally.failures.empty() ? 0 : 1;
}

// False: there are some.
bool PrintViolations(const RunOptions& run, const RunReport& report) {
  for (const std::string& violation : report.violations) {
    std::printf("violation: %s\n  to see it again: %s\n", violation.c_str(),
                ReplayCommand(run).c_str());
  }
  return report.violations.empty();
}

// One line a run, for comparison with another build's.
int WriteHashes(const Arguments& arguments) {
  std::ofstream file(arguments.hashes);
  bool clean = true;
  for (const Family family : FamiliesOf(arguments)) {
    for (uint64_t seed = 1; seed <= arguments.hash_seeds; ++seed) {
      Arguments one = arguments;
      one.seed = seed;
      const RunOptions run = RunOf(one, family);
      const RunReport report = RunSimulation(run);
      file << NameOf(family) << " " << seed << " " << report.trace_hash << "\n";
      clean = PrintViolations(run, report) && clean;
    }
  }
  return file.flush() && clean ? 0 : 1;
}

// Against what another build's --hashes wrote.
int CompareHashes(const Arguments& arguments) {
  std::ifstream file(arguments.compare);
  std::string name;
  RunOptions run;
  uint64_t hash = 0;
  int compared = 0;
  int differ = 0;
  bool clean = true;
  while (file >> name >> run.seed >> hash) {
    const auto family = FamilyOf(name);
    if (!family) return 2;
    run.family = *family;
    ++compared;
    const RunReport report = RunSimulation(run);
    clean = PrintViolations(run, report) && clean;
    if (report.trace_hash == hash) continue;
    ++differ;
    std::printf("another trace than the other build's: %s\n", ReplayCommand(run).c_str());
  }
  std::printf("%d traces compared, %d differ\n", compared, differ);
  return compared > 0 && differ == 0 && clean ? 0 : 1;
}

int RunMain(const Arguments& arguments) {
  if (arguments.commit) {
    std::printf("%s\n", std::string(base::GetBuildVersion().commit).c_str());
    return 0;
  }
  if (!arguments.family.empty() && !FamilyOf(arguments.family)) {
    std::printf("no family %s; there are:", arguments.family.c_str());
    for (const Family family : kFamilies) std::printf(" %s", std::string(NameOf(family)).c_str());
    std::printf("\n");
    return 2;
  }
  if (arguments.speed) return MeasureSpeed(arguments.speed_least) ? 0 : 1;
  if (!arguments.hashes.empty()) return WriteHashes(arguments);
  if (!arguments.compare.empty()) return CompareHashes(arguments);
  if (!arguments.kept.empty()) return RunKept(arguments);
  if (arguments.budget_seconds > 0) return RunBudget(arguments);
  return RunOne(arguments);
}

}  // namespace
}  // namespace basalt::testing

int main(int argc, char** argv) {
  basalt::testing::Arguments arguments;
  CLI::App app("Runs whole clusters from seeds");
  app.add_option("--family", arguments.family, "of faults; all, when not given");
  app.add_option("--seed", arguments.seed, "of the run, or the first of many");
  app.add_option("--seconds", arguments.run_seconds, "of virtual time before healing");
  app.add_option("--trace", arguments.trace, "writes every event of the run into this file");
  app.add_flag("--plan", arguments.plan, "prints the faults of the run first");
  app.add_flag("--here", arguments.here, "runs it in this process, for a debugger");
  app.add_option("--budget-seconds", arguments.budget_seconds, "runs fresh seeds for so long");
  app.add_option("--jobs", arguments.jobs, "runs at a time");
  app.add_option("--marks", arguments.marks, "what a long run must reach");
  app.add_option("--summary", arguments.summary, "writes what was run into this file");
  app.add_option("--kept", arguments.kept, "runs the seeds of this file");
  app.add_option("--hashes", arguments.hashes, "writes trace hashes of fixed seeds into this file");
  app.add_option("--compare", arguments.compare, "runs the seeds of such a file and compares");
  app.add_option("--hash-seeds", arguments.hash_seeds, "how many of each family");
  app.add_flag("--leases-all-the-same", arguments.leases_all_the_same, "in family lawless");
  app.add_option("--check-fails-after-ms", arguments.check_fails_after_ms, "a planted bug");
  app.add_flag("--clocks-within-bound", arguments.clocks_within_bound, "in family lawless");
  app.add_flag("--speed", arguments.speed, "measures virtual seconds per second");
  app.add_option("--speed-least", arguments.speed_least, "fails below so many");
  app.add_flag("--commit", arguments.commit, "prints the commit that this was built from");
  CLI11_PARSE(app, argc, argv);
  return basalt::testing::RunMain(arguments);
}
