// What the nodes of a cluster say of themselves, all asked at once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "client/admin.h"
#include "client/kvctl/arguments.h"
#include "client/router.h"

namespace basalt::kvctl {

// One node and what it said, if it said anything.
struct NodeAnswer {
  client::NodeView node;
  std::optional<client::NodeReport> report;
  std::string failure;
  bool of_cluster = false;  // the map names it: when it knows of none itself, it is starting
};

// The map's nodes; of no cluster: the endpoints, which stand for them.
std::vector<NodeAnswer> AskNodes(const Arguments& arguments, const client::ClusterView& map);

// To standard error: nodes that did not answer, and what the others complain of.
void ComplainOfProblems(const std::vector<NodeAnswer>& answers);

}  // namespace basalt::kvctl
