// Series that are not counted but read at the moment of a scrape, as families for the serializer.
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <vector>

#include "server/observe/metrics.h"
#include "server/observe/node_status.h"
#include "server/observe/process_stats.h"

namespace basalt::server {

std::vector<prometheus::MetricFamily> StatusFamilies(const NodeStatus& status);
std::vector<prometheus::MetricFamily> ProcessFamilies(const ProcessStats& stats);
// Which build and which node this is.
std::vector<prometheus::MetricFamily> BuildFamilies(uint64_t node_id);
// Samples of one name become one family; they may come in any order.
std::vector<prometheus::MetricFamily> SampleFamilies(const std::vector<PulledSample>& samples);

}  // namespace basalt::server
