#include "client/kvctl/node_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "client/kvctl/verbs.h"

namespace basalt::kvctl {

using client::ClusterView;
using client::NodeReport;
using client::NodeView;

namespace {

// All nodes at once; a dead one costs a second, not the whole timeout each.
std::vector<NodeAnswer> AskAll(const std::vector<NodeView>& nodes,
                               std::chrono::milliseconds timeout) {
  const auto each = std::min(timeout, std::chrono::milliseconds(2000));
  std::vector<std::future<Result<NodeReport>>> asked;
  asked.reserve(nodes.size());
  for (const NodeView& node : nodes) {
    asked.push_back(std::async(std::launch::async, [address = node.client_address, each] {
      return client::FetchStatus(address, each);
    }));
  }
  std::vector<NodeAnswer> answers;
  for (size_t i = 0; i < nodes.size(); ++i) {
    Result<NodeReport> report = asked[i].get();
    NodeAnswer answer{.node = nodes[i]};
    if (report.ok()) {
      answer.report = std::move(report).value();
    } else {
      answer.failure = report.status().message();
    }
    answers.push_back(std::move(answer));
  }
  return answers;
}

// Before the cluster is formed, the endpoints stand for the nodes.
std::vector<NodeView> NodesOf(const Arguments& arguments, const ClusterView& map) {
  if (!map.cluster_id.empty()) return map.nodes;
  std::vector<NodeView> nodes;
  for (const std::string& endpoint : arguments.endpoints) {
    nodes.push_back({.client_address = endpoint});
  }
  return nodes;
}

}  // namespace

std::vector<NodeAnswer> AskNodes(const Arguments& arguments, const ClusterView& map) {
  std::vector<NodeAnswer> answers = AskAll(NodesOf(arguments, map), arguments.timeout);
  for (NodeAnswer& answer : answers) {
    answer.of_cluster = !map.cluster_id.empty();
    if (answer.node.node_id == 0 && answer.report.has_value()) {
      const std::string endpoint = answer.node.client_address;
      answer.node = answer.report->node;
      answer.node.node_id = answer.report->node_id;
      if (answer.node.client_address.empty()) answer.node.client_address = endpoint;
    }
  }
  return answers;
}

void ComplainOfProblems(const std::vector<NodeAnswer>& answers) {
  for (const NodeAnswer& answer : answers) {
    if (!answer.failure.empty()) Complain(answer.failure);
    if (!answer.report.has_value()) continue;
    for (const std::string& problem : answer.report->problems) {
      Complain(fmt::format("node {}: {}", answer.node.node_id, problem));
    }
  }
}

}  // namespace basalt::kvctl
