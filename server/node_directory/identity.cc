#include "server/node_directory/identity.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/status.h"
#include "storage/crc32c.h"

namespace basalt::server {
namespace {

constexpr std::string_view kChecksumMember = "  \"crc32c\": \"";
constexpr size_t kChecksumDigits = 8;
constexpr std::string_view kEnd = "\"\n}\n";

std::string Checksum(std::string_view covered) {
  return fmt::format("{:08x}", storage::Crc32c(covered));
}

// The text that the checksum covers, or nullopt when the checksum is not there or not right.
std::optional<std::string_view> Covered(std::string_view text) {
  const size_t tail = kChecksumMember.size() + kChecksumDigits + kEnd.size();
  if (text.size() < tail) return std::nullopt;
  const std::string_view covered = text.substr(0, text.size() - tail);
  const std::string expected = fmt::format("{}{}{}", kChecksumMember, Checksum(covered), kEnd);
  if (text.substr(covered.size()) != expected) return std::nullopt;
  return covered;
}

std::optional<uint64_t> Number(const nlohmann::json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_number_unsigned()) return std::nullopt;
  return member->get<uint64_t>();
}

std::optional<std::string> Text(const nlohmann::json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string()) return std::nullopt;
  return member->get<std::string>();
}

absl::Status Damaged(std::string_view why) {
  return base::DataLoss(fmt::format("it is damaged ({})", why));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string LogIdToHex(uint64_t log_id) {
  return log_id == 0 ? "" : fmt::format("{:016x}", log_id);
}

std::optional<uint64_t> LogIdFromHex(std::string_view hex) {
  if (hex.empty()) return 0;
  uint64_t log_id = 0;
  for (const char c : hex) log_id = log_id << 4 | static_cast<uint64_t>(std::max(0, HexDigit(c)));
  if (log_id == 0 || LogIdToHex(log_id) != hex) return std::nullopt;
  return log_id;
}

}  // namespace

RandomId MakeRandomId() {
  RandomId id;
  ssize_t got = 0;
  do {
    got = getrandom(id.data(), id.size(), 0);
  } while (got < 0 && errno == EINTR);
  // Up to 256 bytes the kernel gives all or none (getrandom(2)).
  BASALT_CHECK(got == static_cast<ssize_t>(id.size()));
  return id;
}

std::string ToHex(const RandomId& id) {
  std::string hex;
  for (const uint8_t byte : id) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::optional<RandomId> RandomIdFromHex(std::string_view hex) {
  RandomId id;
  if (hex.size() != 2 * id.size()) return std::nullopt;
  for (size_t i = 0; i < id.size(); ++i) {
    const int high = HexDigit(hex[2 * i]);
    const int low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    id[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return id;
}

std::optional<RandomId> RandomIdFromBytes(std::string_view bytes) {
  RandomId id;
  if (bytes.size() != id.size()) return std::nullopt;
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<uint8_t>(bytes[i]);
  return id;
}

std::string ToBytes(const RandomId& id) { return std::string(id.begin(), id.end()); }

std::string SerializeIdentity(const Identity& identity) {
  std::string text = "{\n";
  text += fmt::format("  \"format\": {},\n", identity.format);
  text += fmt::format("  \"node_id\": {},\n", identity.node_id);
  text += fmt::format("  \"store_id\": \"{}\",\n", ToHex(identity.store_id));
  text += fmt::format("  \"cluster_id\": \"{}\",\n",
                      identity.cluster_id ? ToHex(*identity.cluster_id) : "");
  text += fmt::format("  \"log_id\": \"{}\",\n", LogIdToHex(identity.log_id));
  text += fmt::format("  \"release\": {},\n", nlohmann::json(identity.release).dump());
  text += fmt::format("{}{}{}", kChecksumMember, Checksum(text), kEnd);
  return text;
}

absl::StatusOr<Identity> ParseIdentity(std::string_view text) {
  if (!Covered(text)) return Damaged("its checksum does not match");
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return Damaged("not a JSON object");
  const auto format = Number(object, "format");
  if (!format) return Damaged("no format number");
  if (*format > kDataFormat) {
    return base::FailedPrecondition(fmt::format(
        "it has format {}, and this release knows formats up to {}", *format, kDataFormat));
  }
  const auto node_id = Number(object, "node_id");
  const auto store_id = Text(object, "store_id");
  const auto cluster_id = Text(object, "cluster_id");
  const auto log_id = Text(object, "log_id");
  const auto release = Text(object, "release");
  if (*format != kDataFormat || !node_id || *node_id == 0 || !store_id || !cluster_id || !log_id ||
      !release) {
    return Damaged("a member is missing");
  }
  Identity identity;
  identity.node_id = *node_id;
  identity.release = *release;
  const auto store = RandomIdFromHex(*store_id);
  if (!store) return Damaged("store_id is not 32 hexadecimal digits");
  identity.store_id = *store;
  if (!cluster_id->empty()) {
    identity.cluster_id = RandomIdFromHex(*cluster_id);
    if (!identity.cluster_id) return Damaged("cluster_id is not 32 hexadecimal digits");
  }
  const auto log = LogIdFromHex(*log_id);
  if (!log) return Damaged("log_id is not 16 hexadecimal digits");
  identity.log_id = *log;
  return identity;
}

}  // namespace basalt::server
