// kvctl: Basalt's command line. docs/kvctl.md has the contract.
#include <cstdio>
#include <cstdlib>

#include "client/kvctl/command_line.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

ExitCode Run(const Arguments& arguments) {
  switch (arguments.verb) {
    case Verb::kPut:
      return RunPut(arguments);
    case Verb::kGet:
      return RunGet(arguments);
    case Verb::kMget:
      return RunMget(arguments);
    case Verb::kDel:
      return RunDel(arguments);
    case Verb::kCas:
      return RunCas(arguments);
    case Verb::kIncr:
      return RunIncr(arguments);
    case Verb::kRequestToken:
      return RunRequestToken(arguments);
    case Verb::kOutcome:
      return RunOutcome(arguments);
    case Verb::kTxn:
      return RunTxn(arguments);
    case Verb::kScan:
      return RunScan(arguments);
    case Verb::kCount:
      return RunCount(arguments);
    case Verb::kImport:
      return RunImport(arguments);
    case Verb::kExport:
      return RunExport(arguments);
    case Verb::kStatus:
      return RunStatus(arguments);
    case Verb::kNodes:
      return RunNodes(arguments);
    case Verb::kShards:
      return RunShards(arguments);
    case Verb::kShardOf:
      return RunShardOf(arguments);
    case Verb::kClusterInit:
      return RunClusterInit(arguments);
    case Verb::kSettingsList:
      return RunSettingsList(arguments);
    case Verb::kSettingsSet:
      return RunSettingsSet(arguments);
    case Verb::kBench:
      return RunBench(arguments);
    case Verb::kExplainGet:
      return RunExplainGet(arguments);
    case Verb::kExplainPut:
      return RunExplainPut(arguments);
    case Verb::kDebugScanReplica:
      return RunDebugScanReplica(arguments);
    case Verb::kCompletion:
      return RunCompletion(arguments);
    case Verb::kVersion:
      return RunVersion(arguments);
  }
  return kUsage;
}

bool IsWrite(Verb verb) {
  return verb == Verb::kPut || verb == Verb::kExplainPut || verb == Verb::kDel ||
         verb == Verb::kCas || verb == Verb::kIncr || verb == Verb::kTxn ||
         verb == Verb::kClusterInit || verb == Verb::kSettingsSet;
}

int Main(int argc, char** argv) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread runs; ends when the check allows getenv
  const char* const endpoints = std::getenv("BASALT_ENDPOINTS");
  const CommandLine line = ParseCommandLine(argc, argv, endpoints);
  ExitCode code = line.code;
  if (line.arguments.has_value()) {
    code = Run(*line.arguments);
  } else if (code == kDone) {
    Print(line.text);
  } else {
    Complain(line.text);
  }
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  // Not "not applied", which would be untrue.
  const Verb verb = line.arguments.has_value() ? line.arguments->verb : Verb::kVersion;
  if (verb == Verb::kOutcome) {
    Complain("standard output could not be written; ask for the outcome again");
    return code == kDone || code == kNotFound ? kUnknown : code;
  }
  const bool applied = IsWrite(verb) && code == kDone;
  Complain(applied ? "applied, but standard output could not be written"
                   : "standard output could not be written");
  if (applied) return kUnknown;
  // Rows of the keys that were found are lost.
  return code == kDone || (code == kNotFound && !IsWrite(verb)) ? kUnavailable : code;
}

}  // namespace
}  // namespace basalt::kvctl

int main(int argc, char** argv) { return basalt::kvctl::Main(argc, argv); }
