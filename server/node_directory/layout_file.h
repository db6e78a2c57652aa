// The bytes of a LAYOUT file around the cluster map that it holds.
//
//   0  8  "BSLTLAY1"
//   8  4  length of the map, big-endian
//  12  4  CRC32C of the 12 bytes before and of the map, big-endian
//  16     the map: a serialized basalt.v1.ClusterMap, opaque here
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace basalt::server {

std::string SerializeLayout(std::string_view map);
// DataLoss: damaged.
absl::StatusOr<std::string> ParseLayout(std::string_view bytes);

}  // namespace basalt::server
