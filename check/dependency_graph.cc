#include "check/dependency_graph.h"

#include <algorithm>

#include "base/check.h"

namespace basalt::check {
namespace {

class Components {
 public:
  Components(const ArcTable& arcs, KindSet allowed)
      : arcs_(arcs), allowed_(allowed), numbers_(arcs.nodes(), 0), lowest_(arcs.nodes(), 0) {}

  std::vector<std::vector<uint32_t>> Find() {
    for (uint32_t node = 0; node < arcs_.nodes(); ++node) {
      if (numbers_[node] == 0) Explore(node);
    }
    return std::move(found_);
  }

 private:
  struct Visit {
    uint32_t node = 0;
    uint32_t next_arc = 0;
  };
  static constexpr uint32_t kClosed = UINT32_MAX;  // its component is known

  void Open(uint32_t node) {
    numbers_[node] = lowest_[node] = ++last_number_;
    open_.push_back(node);
    path_.push_back({node, 0});
  }

  void Explore(uint32_t root) {
    Open(root);
    while (!path_.empty()) {
      Visit& visit = path_.back();
      const std::span<const Arc> arcs = arcs_.From(visit.node);
      if (visit.next_arc == arcs.size()) {
        Leave(visit.node);
        continue;
      }
      const Arc& arc = arcs[visit.next_arc++];
      if ((SetOf(arc.kind) & allowed_) == 0) continue;
      if (numbers_[arc.to] == 0) {
        Open(arc.to);
      } else if (numbers_[arc.to] != kClosed) {
        lowest_[visit.node] = std::min(lowest_[visit.node], numbers_[arc.to]);
      }
    }
  }

  void Leave(uint32_t node) {
    path_.pop_back();
    if (!path_.empty()) {
      uint32_t& lowest = lowest_[path_.back().node];
      lowest = std::min(lowest, lowest_[node]);
    }
    if (lowest_[node] != numbers_[node]) return;
    size_t first = open_.size();
    do {
      --first;
      numbers_[open_[first]] = kClosed;
    } while (open_[first] != node);
    if (open_.size() - first > 1) {
      found_.emplace_back(open_.begin() + static_cast<std::ptrdiff_t>(first), open_.end());
      std::sort(found_.back().begin(), found_.back().end());
    }
    open_.resize(first);
  }

  const ArcTable& arcs_;
  const KindSet allowed_;
  std::vector<uint32_t> numbers_;  // in the order of discovery, from 1; 0: not met
  std::vector<uint32_t> lowest_;   // number that is reached from it
  std::vector<uint32_t> open_;     // met, of no component yet
  std::vector<Visit> path_;
  uint32_t last_number_ = 0;
  std::vector<std::vector<uint32_t>> found_;
};

}  // namespace

ArcTable::ArcTable(uint32_t nodes, const std::vector<Edge>& edges) : starts_(nodes + 1, 0) {
  BASALT_CHECK(edges.size() < UINT32_MAX);
  for (const Edge& edge : edges) {
    BASALT_CHECK(edge.from < nodes && edge.to < nodes && edge.from != edge.to);
    ++starts_[edge.from + 1];
  }
  for (uint32_t node = 0; node < nodes; ++node) starts_[node + 1] += starts_[node];
  arcs_.resize(edges.size());
  std::vector<uint32_t> next(starts_.begin(), starts_.end() - 1);
  for (const Edge& edge : edges) arcs_[next[edge.from]++] = {edge.to, edge.key, edge.kind};
}

std::vector<std::vector<uint32_t>> FindStrongComponents(const ArcTable& arcs, KindSet allowed) {
  return Components(arcs, allowed).Find();
}

}  // namespace basalt::check
