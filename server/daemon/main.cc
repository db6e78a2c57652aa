// basaltd: one node of a Basalt cluster.
#include <grpc/support/log.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "base/check.h"
#include "base/status.h"
#include "server/config/load_config.h"
#include "server/daemon/node.h"
#include "server/observe/logger.h"

extern char** environ;

namespace {

constexpr int kExitOk = 0;
constexpr int kExitCouldNotStart = 1;

// Signals are taken by one thread, at a place of its choosing; all others have them blocked.
sigset_t BlockSignals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return signals;
}

// True when a signal came within a tenth of a second.
bool AwaitSignal(const sigset_t& signals) {
  const timespec timeout{0, 100'000'000};
  return ::sigtimedwait(&signals, nullptr, &timeout) > 0;
}

// From here on a further signal ends the process at once.
void RestoreSignals(const sigset_t& signals) {
  ::signal(SIGTERM, [](int) { ::_exit(kExitOk); });
  ::signal(SIGINT, [](int) { ::_exit(kExitOk); });
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

int Fail(const std::string& line, int code) {
  std::fprintf(stderr, "basaltd: %s\n", line.c_str());
  return code;
}

int Serve(const basalt::server::NodeConfig& config) {
  const sigset_t signals = BlockSignals();
  basalt::server::LoggerOptions log_options;
  log_options.node_id = config.node_id;
  log_options.level = config.log_level;
  log_options.format = config.log_format;
  basalt::server::Logger logger(log_options);
  auto started = basalt::server::Node::Start(config, logger);
  if (!started.ok()) return Fail(basalt::base::Message(started.status()), kExitCouldNotStart);
  basalt::server::Node& node = **started;
  do {
    if (const absl::Status status = node.Poll(); !status.ok()) {
      node.Stop();
      return Fail(basalt::base::Message(status), kExitCouldNotStart);
    }
  } while (!AwaitSignal(signals));
  logger.Info({}, "stopping");
  RestoreSignals(signals);
  node.Stop();
  logger.Info({}, "stopped");
  return kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
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
