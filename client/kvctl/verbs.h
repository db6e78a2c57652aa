// The verbs. Each takes parsed arguments, writes data to standard output and all else to standard
// error, and returns the exit code.
#pragma once

#include <string>
#include <string_view>

#include "basalt/status.h"
#include "client/kvctl/arguments.h"
#include "client/kvctl/exit_code.h"

namespace basalt::kvctl {

ExitCode RunPut(const Arguments& arguments);
ExitCode RunGet(const Arguments& arguments);
ExitCode RunMget(const Arguments& arguments);
ExitCode RunDel(const Arguments& arguments);
ExitCode RunCas(const Arguments& arguments);
ExitCode RunIncr(const Arguments& arguments);
ExitCode RunRequestToken(const Arguments& arguments);
ExitCode RunOutcome(const Arguments& arguments);
ExitCode RunTxn(const Arguments& arguments);
ExitCode RunScan(const Arguments& arguments);
ExitCode RunCount(const Arguments& arguments);
ExitCode RunImport(const Arguments& arguments);
ExitCode RunExport(const Arguments& arguments);
ExitCode RunStatus(const Arguments& arguments);
ExitCode RunNodes(const Arguments& arguments);
ExitCode RunShards(const Arguments& arguments);
ExitCode RunShardOf(const Arguments& arguments);
ExitCode RunClusterInit(const Arguments& arguments);
ExitCode RunSettingsList(const Arguments& arguments);
ExitCode RunSettingsSet(const Arguments& arguments);
ExitCode RunBench(const Arguments& arguments);
ExitCode RunExplainGet(const Arguments& arguments);
ExitCode RunExplainPut(const Arguments& arguments);
ExitCode RunDebugScanReplica(const Arguments& arguments);
ExitCode RunCompletion(const Arguments& arguments);
ExitCode RunVersion(const Arguments& arguments);

// To standard output.
void Print(std::string_view bytes);
// A key or value as --hex and -o have it, but for JSON.
std::string Shown(const Arguments& arguments, std::string_view bytes);
// "kvctl: <what>" to standard error.
void Complain(std::string_view what);
// Complains when the status is not OK; the exit code either way.
ExitCode Report(const Status& status);
// Of a write, or a question about one, that found no cluster to go to. What has a request may have
// been sent before, by whomever: nobody told that it was not applied.
ExitCode ReportUnreached(const Arguments& arguments, const Status& status);

}  // namespace basalt::kvctl
