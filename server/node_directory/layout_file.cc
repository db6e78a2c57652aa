#include "server/node_directory/layout_file.h"

#include <cstdint>

#include "base/check.h"
#include "base/status.h"
#include "server/node_directory/durable_file.h"
#include "storage/big_endian.h"
#include "storage/crc32c.h"

namespace basalt::server {
namespace {

constexpr std::string_view kMagic = "BSLTLAY1";
constexpr size_t kHeadBytes = kMagic.size() + 2 * sizeof(uint32_t);

uint32_t Checksum(std::string_view head, std::string_view map) {
  return storage::ExtendCrc32c(storage::Crc32c(head), map);
}

}  // namespace

std::string SerializeLayout(std::string_view map) {
  BASALT_CHECK(map.size() <= kSmallFileBytesMax - kHeadBytes);
  std::string bytes(kMagic);
  storage::AppendBigEndian(static_cast<uint32_t>(map.size()), bytes);
  storage::AppendBigEndian(Checksum(bytes, map), bytes);
  bytes += map;
  return bytes;
}

absl::StatusOr<std::string> ParseLayout(std::string_view bytes) {
  if (bytes.size() < kHeadBytes) return base::DataLoss("it is damaged (too short)");
  if (!bytes.starts_with(kMagic)) return base::DataLoss("it is damaged (not a layout)");
  const auto length = storage::ReadBigEndian<uint32_t>(bytes.substr(kMagic.size()));
  const auto checksum =
      storage::ReadBigEndian<uint32_t>(bytes.substr(kMagic.size() + sizeof(uint32_t)));
  const std::string_view map = bytes.substr(kHeadBytes);
  if (map.size() != length) return base::DataLoss("it is damaged (its length is not right)");
  if (Checksum(bytes.substr(0, kMagic.size() + sizeof(uint32_t)), map) != checksum) {
    return base::DataLoss("it is damaged (its checksum does not match)");
  }
  return std::string(map);
}

}  // namespace basalt::server
