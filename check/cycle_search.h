// Short cycles of a graph of dependencies: what there is to show when transactions have no order.
#pragma once

#include <cstdint>
#include <vector>

#include "check/dependency_graph.h"

namespace basalt::check {

struct DependencyGraph {
  uint32_t transactions = 0;  // nodes below are transactions, the rest points
  uint32_t nodes = 0;
  std::vector<Edge> edges;
  // Of each transaction: when it began, by some clock by which sessions and real time go forward.
  std::vector<int64_t> begin_ns;
};

// Edges between transactions alone, each from where the one before it leads to; from one to itself
// if only a point lies between.
using Cycle = std::vector<Edge>;

// One cycle of each strongly connected component, empty exactly if there is an order. Of the kinds
// of cycles it is the worst that is found there: of writes alone; of writes and reads; with one
// anti-dependency; with several; then the same with sessions; then with real time. But one of more
// than eight edges makes way for a milder one that is shorter. It is the shortest of its kind
// unless the component is so large that only some places are searched.
std::vector<Cycle> FindCycles(const DependencyGraph& graph);

}  // namespace basalt::check
