// Which bug of mutants.txt is planted in this process, and whether the core checks itself.
//
// Mutated copies of production sources ask; production sources know nothing of mutants. Chosen by
// the environment before the program starts, so that any program of tests/ can run on the twin:
//   BASALT_MUTANT=name           one of mutants.txt; none when it is not set
//   BASALT_CORE_CHECKS=off       raft/core and server/txn go on where a CHECK of their own fails
#pragma once

#include "base/check.h"

namespace basalt::testing {

// The place of the mutant in mutants.txt, from 1 on; 0: none.
int PlantedMutant();
bool CoreChecksAreOn();

}  // namespace basalt::testing

// The twin's copies of raft/core and server/txn include this before everything else.
#ifdef BASALT_MUTANTS_OF_CORE

#undef BASALT_CHECK
#undef BASALT_CHECK_MSG

#define BASALT_CHECK(condition)                                              \
  do {                                                                       \
    if (::basalt::testing::CoreChecksAreOn() && !(condition)) [[unlikely]] { \
      ::basalt::base::CheckFailed(#condition, __FILE__, __LINE__);           \
    }                                                                        \
  } while (false)

#define BASALT_CHECK_MSG(condition, detail)                                  \
  do {                                                                       \
    if (::basalt::testing::CoreChecksAreOn() && !(condition)) [[unlikely]] { \
      ::basalt::base::CheckFailed(#condition, __FILE__, __LINE__, (detail)); \
    }                                                                        \
  } while (false)

#endif
