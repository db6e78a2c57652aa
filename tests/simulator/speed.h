// How fast virtual time goes on one core, for the load that the goal names: three nodes, three
// groups, at least a hundred operations and one fault per virtual second.
#pragma once

namespace basalt::testing {

inline constexpr double kSpeedGoal = 100;  // virtual seconds in a second of one core

// Prints what it measures, as JSON. False: a run failed, the load was less than the goal's, or the
// median went more slowly than `least` virtual seconds a second.
bool MeasureSpeed(double least);

}  // namespace basalt::testing
