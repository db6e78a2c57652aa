#include "client/scan_token.h"

#include <optional>
#include <utility>

#include "basalt/client.h"
#include "base/check.h"

namespace basalt::client {
namespace {

constexpr std::string_view kPrefix = "basalt-scan-";
constexpr std::string_view kVersion = "1-";
constexpr uint8_t kReverse = 1;
constexpr size_t kBoundBytesMax = kKeyBytesMax + 1;
constexpr size_t kHeadBytes = 1 + 8 + 4 + 2;
constexpr size_t kSumBytes = 8;
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void AppendNumber(uint64_t number, size_t bytes, std::string& to) {
  for (size_t i = bytes; i > 0; --i) to.push_back(static_cast<char>(number >> (8 * (i - 1))));
}

uint64_t TakeNumber(std::string_view& from, size_t bytes) {
  uint64_t number = 0;
  for (const char c : from.substr(0, bytes)) number = number << 8 | static_cast<uint8_t>(c);
  from.remove_prefix(bytes);
  return number;
}

// FNV-1a: every step is a bijection, so two texts that differ in one byte have different sums.
uint64_t SumOf(std::string_view bytes) {
  uint64_t sum = 0xcbf29ce484222325;
  for (const char c : bytes) sum = (sum ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return sum;
}

// Base64 of RFC 4648, section 5, without padding.
std::string ToText(std::string_view bytes) {
  std::string text;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    for (count += 8; count >= 6; count -= 6) text.push_back(kDigits[bits >> (count - 6) & 63]);
  }
  if (count > 0) text.push_back(kDigits[bits << (6 - count) & 63]);
  return text;
}

std::optional<std::string> FromText(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count));
  }
  // One text for one token: no bits left over, no digit more than needed.
  if (ToText(bytes) != text) return std::nullopt;
  return bytes;
}

Status Refused(std::string message) {
  return Status(Code::kInvalidArgument, Outcome::kNotApplied, std::move(message));
}

}  // namespace

uint32_t ClusterMark(std::string_view cluster_id) {
  if (cluster_id.size() < sizeof(uint32_t)) return 0;
  return static_cast<uint32_t>(TakeNumber(cluster_id, sizeof(uint32_t)));
}

std::string EncodeScanToken(const ScanPosition& position) {
  BASALT_CHECK(position.at != 0 && position.from.size() <= kBoundBytesMax &&
               position.to.size() <= kBoundBytesMax);
  std::string bytes;
  AppendNumber(position.reverse ? kReverse : 0, 1, bytes);
  AppendNumber(position.at, 8, bytes);
  AppendNumber(position.cluster, 4, bytes);
  AppendNumber(position.from.size(), 2, bytes);
  bytes.append(position.from).append(position.to);
  AppendNumber(SumOf(bytes), kSumBytes, bytes);
  return std::string(kPrefix).append(kVersion).append(ToText(bytes));
}

Result<ScanPosition> ParseScanToken(std::string_view token) {
  if (!token.starts_with(kPrefix)) return Refused("this is no resume token of a scan");
  token.remove_prefix(kPrefix.size());
  if (!token.starts_with(kVersion)) {
    return Refused("the resume token is damaged, or of another release");
  }
  token.remove_prefix(kVersion.size());
  const Status damaged = Refused("the resume token is damaged");
  // Before it is decoded: what is given may be of any length.
  if (token.size() > 2 * (kHeadBytes + 2 * kBoundBytesMax + kSumBytes)) return damaged;
  const std::optional<std::string> bytes = FromText(token);
  if (!bytes || bytes->size() < kHeadBytes + kSumBytes) return damaged;
  std::string_view rest = *bytes;
  std::string_view sum = rest.substr(rest.size() - kSumBytes);
  rest.remove_suffix(kSumBytes);
  if (TakeNumber(sum, kSumBytes) != SumOf(rest)) return damaged;
  const uint64_t flags = TakeNumber(rest, 1);
  ScanPosition position;
  position.at = TakeNumber(rest, 8);
  position.cluster = static_cast<uint32_t>(TakeNumber(rest, 4));
  const uint64_t from_bytes = TakeNumber(rest, 2);
  if (flags > kReverse || position.at == 0 || from_bytes > rest.size() ||
      from_bytes > kBoundBytesMax || rest.size() - from_bytes > kBoundBytesMax) {
    return damaged;
  }
  position.reverse = flags == kReverse;
  position.from = rest.substr(0, from_bytes);
  position.to = rest.substr(from_bytes);
  return position;
}

}  // namespace basalt::client
