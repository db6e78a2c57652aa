#include <cstdio>
#include <cstring>
#include "tests/simulator/run.h"
#include "tests/simulator/child_run.h"
using namespace basalt::testing;
int main(int argc, char** argv) {
  RunOptions o;
  uint64_t count = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--seed")) o.seed = std::stoull(argv[i + 1]);
    if (!strcmp(argv[i], "--count")) count = std::stoull(argv[i + 1]);
    if (!strcmp(argv[i], "--family")) o.family = *FamilyOf(argv[i + 1]);
    if (!strcmp(argv[i], "--trace")) o.trace = fopen(argv[i + 1], "w");
  }
  std::map<std::string, uint64_t> all;
  for (uint64_t n = 0; n < count; ++n, ++o.seed) {
    RunReport r = count == 1 ? RunSimulation(o) : RunInChild([&] { return RunSimulation(o); });
    for (auto& v : r.violations) printf("seed %llu: ! %s\n", (unsigned long long)o.seed, v.c_str());
    for (auto& [k, c] : r.reached) all[k] += c;
    for (auto& [k, c] : r.faults) all["fault: " + k] += c;
    if (count == 1) printf("%llu ops, trace %016llx\n", (unsigned long long)r.operations, (unsigned long long)r.trace_hash);
  }
  for (auto& [k, c] : all) printf("  %llu %s\n", (unsigned long long)c, k.c_str());
}
