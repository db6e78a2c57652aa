// basaltd: one node of a Basalt cluster.
#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/check.h"
#include "base/status.h"
#include "server/config/load_config.h"
#include "server/daemon/node.h"
#include "server/daemon/scheduling.h"
#include "server/daemon/termination.h"
#include "server/observe/logger.h"
#include "server/rpc/polling_threads.h"

extern char** environ;

namespace {

constexpr int kExitOk = 0;
constexpr int kExitCouldNotStart = 1;
constexpr std::chrono::milliseconds kPollPeriod{100};
// Stop keeps to 10 s unless something hangs.
constexpr std::chrono::seconds kStopMax{15};

int Fail(const std::string& line, int code) {
  std::fprintf(stderr, "basaltd: %s\n", line.c_str());
  return code;
}

int Serve(const basalt::server::NodeConfig& config) {
  ::signal(SIGPIPE, SIG_IGN);
  absl::Status scheduled;  // before any thread is started
  if (config.scheduling == basalt::server::Scheduling::kBatch) {
    scheduled = basalt::server::UseBatchScheduling();
  }
  basalt::server::Termination termination(kStopMax);
  basalt::server::LoggerOptions log_options;
  log_options.node_id = config.node_id;
  log_options.level = config.log_level;
  log_options.format = config.log_format;
  basalt::server::Logger logger(log_options);
  if (!scheduled.ok()) {
    logger.Warn({}, "no batch scheduling, so more CPU time an operation under load: {}",
                basalt::base::Message(scheduled));
  }
  const basalt::server::PollingThreads polling(
      config.rpc_threads, static_cast<uint32_t>(::sysconf(_SC_NPROCESSORS_CONF)));
  auto started = basalt::server::Node::Start(config, logger);
  if (!started.ok()) return Fail(basalt::base::Message(started.status()), kExitCouldNotStart);
  termination.Started();
  basalt::server::Node& node = **started;
  do {
    if (const absl::Status status = node.Poll(); !status.ok()) {
      node.Stop();
      return Fail(basalt::base::Message(status), kExitCouldNotStart);
    }
  } while (!termination.Await(kPollPeriod));
  logger.Info({}, "stopping");
  node.Stop();
  logger.Info({}, "stopped");
  return kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
  // gRPC's locks. A build of Abseil with its assertions on, as Debian's, draws the graph of who
  // waits for whom at each of them.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  ::gpr_set_log_function([](gpr_log_func_args*) {});  // what an operator has to know, we say
  using basalt::server::LoadedConfig;
  const LoadedConfig loaded =
      basalt::server::LoadConfig(basalt::server::ProcessConfigInputs(argc, argv, environ));
  if (const auto* print = std::get_if<basalt::server::PrintAndExit>(&loaded)) {
    std::fputs(print->text.c_str(), stdout);
    return kExitOk;
  }
  if (const auto* error = std::get_if<basalt::server::UsageError>(&loaded)) {
    return Fail(error->line, basalt::server::kExitUsage);
  }
  return Serve(std::get<basalt::server::NodeConfig>(loaded));
}
