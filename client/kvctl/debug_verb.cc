// debug scan-replica: all that one replica stores, for comparing replicas.
#include <fmt/format.h>

#include <string>

#include "client/admin.h"
#include "client/kvctl/cluster_map.h"
#include "client/kvctl/row_text.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {

ExitCode RunDebugScanReplica(const Arguments& arguments) {
  const Result<client::ClusterView> map = FetchFormedMap(arguments);
  if (!map.ok()) return Report(map.status());
  std::string address;
  for (const client::NodeView& node : map->nodes) {
    if (node.node_id == arguments.node_id) address = node.client_address;
  }
  if (address.empty()) {
    Complain(fmt::format("the cluster has no node {}", arguments.node_id));
    return kNotFound;
  }
  const client::ReplicaContents contents{
      .on_head =
          [](uint64_t applied_index, uint64_t applied_hash) {
            Print(fmt::format("{{\"applied_index\":{},\"applied_hash\":\"{:016x}\"}}\n",
                              applied_index, applied_hash));
          },
      .on_row =
          [](const client::StoredRow& row) {
            Print(
                fmt::format("{{\"key\":\"{}\",\"stamp\":\"{}\",\"tombstone\":{},"
                            "\"value\":\"{}\"}}\n",
                            ToBase64(row.key), row.stamp, row.tombstone, ToBase64(row.value)));
          }};
  return Report(client::ScanReplica(address, arguments.shard_id, arguments.timeout, contents));
}

}  // namespace basalt::kvctl
