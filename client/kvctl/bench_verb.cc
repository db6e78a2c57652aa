// bench: a workload against the cluster that the endpoints name.
#include <algorithm>
#include <utility>

#include "client/bench/client_target.h"
#include "client/kvctl/bench_report.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

constexpr uint32_t kScansAtOnceMax = 256;

}  // namespace

ExitCode RunBench(const Arguments& arguments) {
  const bench::BenchPlan& plan = arguments.bench;
  ClientOptions client_options = ClientOptionsOf(arguments);
  client_options.unary = plan.unary;
  Result<Client> client = Client::Connect(std::move(client_options));
  if (!client.ok()) return Report(client.status());
  const bool scans = plan.mix().scans > 0;
  bench::ClientTarget target(&*client, CallOptionsOf(arguments),
                             scans ? std::min(plan.clients, kScansAtOnceMax) : 0);
  return RunBenchAgainst(&target, arguments);
}

}  // namespace basalt::kvctl
