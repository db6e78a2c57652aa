#include "storage/key_encoding.h"

#include "base/check.h"
#include "storage/big_endian.h"

namespace basalt::storage {
namespace {

constexpr char kEscape = '\x00';
constexpr char kEscapedZero = '\xff';
constexpr char kEndMark = '\x01';

}  // namespace

void AppendStem(std::string_view key, std::string& to) {
  size_t from = 0;
  for (size_t zero = key.find(kEscape); zero != std::string_view::npos;
       zero = key.find(kEscape, from)) {
    to.append(key.substr(from, zero + 1 - from));
    to.push_back(kEscapedZero);
    from = zero + 1;
  }
  to.append(key.substr(from));
  to.push_back(kEscape);
  to.push_back(kEndMark);
}

void AppendStamp(uint64_t stamp, std::string& to) { AppendBigEndian<uint64_t>(~stamp, to); }

std::string EncodeStem(std::string_view key) {
  std::string stem;
  stem.reserve(key.size() + 2);
  AppendStem(key, stem);
  return stem;
}

std::string EncodeRowKey(std::string_view key, uint64_t stamp) {
  std::string row_key;
  row_key.reserve(key.size() + 2 + kStampBytes);
  AppendStem(key, row_key);
  AppendStamp(stamp, row_key);
  return row_key;
}

std::optional<std::string> DecodeStem(std::string_view stem) {
  std::string key;
  key.reserve(stem.size());
  for (size_t at = 0; at < stem.size();) {
    const size_t escape = stem.find(kEscape, at);
    if (escape == std::string_view::npos || escape + 1 >= stem.size()) return std::nullopt;
    key.append(stem.substr(at, escape - at));
    const char kind = stem[escape + 1];
    at = escape + 2;
    if (kind == kEndMark) {
      if (at != stem.size()) return std::nullopt;
      return key;
    }
    if (kind != kEscapedZero) return std::nullopt;
    key.push_back(kEscape);
  }
  return std::nullopt;
}

uint64_t StampOf(std::string_view row_key) {
  BASALT_CHECK(row_key.size() >= kStampBytes);
  return ~ReadBigEndian<uint64_t>(row_key.substr(row_key.size() - kStampBytes));
}

std::optional<DecodedRowKey> DecodeRowKey(std::string_view row_key) {
  if (row_key.size() < kStampBytes) return std::nullopt;
  std::optional<std::string> key = DecodeStem(StemOf(row_key));
  if (!key) return std::nullopt;
  return DecodedRowKey{std::move(*key), StampOf(row_key)};
}

}  // namespace basalt::storage
