// A bench against any target, and what it measured, for people and for programs.
#pragma once

#include "client/bench/bench_run.h"
#include "client/bench/target.h"
#include "client/kvctl/arguments.h"
#include "client/kvctl/exit_code.h"

namespace basalt::kvctl {

// Loads, runs and reads back as the arguments say, and prints the report.
ExitCode RunBenchAgainst(bench::Target* target, const Arguments& arguments,
                         bench::PlaceOfKey place_of = nullptr);

}  // namespace basalt::kvctl
