// How fast virtual time goes on one core, for the load that the goal names: three nodes, three
// groups, at least a hundred operations and one fault per virtual second.
#pragma once

namespace basalt::testing {

// Prints what it measures, as JSON; false: a run failed.
bool MeasureSpeed();

}  // namespace basalt::testing
