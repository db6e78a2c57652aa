// Which bug of mutants.txt is planted in this process, and whether the core checks itself.
//
// Mutated copies of production sources ask; production sources know nothing of mutants. Chosen by
// the environment before the program starts, so that any program of tests/ can run on the twin:
//   BASALT_MUTANT=name           one of mutants.txt; none when it is not set
//   BASALT_CORE_CHECKS=off       raft/core goes on where a CHECK of its own fails
#pragma once

namespace basalt::testing {

// The place of the mutant in mutants.txt, from 1 on; 0: none.
int PlantedMutant();
bool CoreChecksAreOn();

}  // namespace basalt::testing
