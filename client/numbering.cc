#include "client/numbering.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace basalt::client {

uint32_t Numbering::LineWithRoom(uint64_t shard_id) {
  std::vector<uint32_t>& lines = by_shard_[shard_id];
  const auto has_room = [this](uint32_t line) { return lines_[line].open.size() < kOpenPerLine; };
  if (!lines.empty() && has_room(lines.back())) return lines.back();
  const auto found = std::find_if(lines.begin(), lines.end(), has_room);
  if (found != lines.end()) {
    std::swap(*found, lines.back());
    return lines.back();
  }
  lines.push_back(static_cast<uint32_t>(lines_.size()));
  lines_.emplace_back();
  return lines.back();
}

Numbering::Number Numbering::Open(uint64_t shard_id) {
  const uint32_t line = LineWithRoom(shard_id);
  lines_[line].open.push_back(true);
  return {line, lines_[line].lowest + lines_[line].open.size() - 1};
}

void Numbering::Close(const Number& number) {
  Line& line = lines_[number.line];
  BASALT_CHECK(number.sequence >= line.lowest && number.sequence - line.lowest < line.open.size());
  line.open[number.sequence - line.lowest] = false;
  while (!line.open.empty() && !line.open.front()) {
    line.open.pop_front();
    ++line.lowest;
  }
}

}  // namespace basalt::client
