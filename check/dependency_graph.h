// Dependencies between transactions as a graph, and its strongly connected components: each has a
// cycle, and no cycle is outside of them.
//
// Nodes are small numbers: transactions first, then points, which stand for none. A point keeps the
// graph small where many transactions precede many: all that precede it lead into it, and it leads
// to all that they precede.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace basalt::check {

// Why one transaction stands before another in every order. The first three are Adya's ("Weak
// consistency: a generalized theory and optimistic implementations for distributed transactions",
// 1999, section 4.4.2).
enum class DependencyKind : uint8_t {
  kWriteWrite,  // it wrote a version before the other's
  kWriteRead,   // the other read what it wrote, or something newer
  kReadWrite,   // the other overwrote what it read
  kSession,     // the other knew its token
  kRealTime,    // it was answered before the other began
  kThrough,     // out of a point: the kind is that of the edge into it
};

using KindSet = uint8_t;
constexpr KindSet SetOf(DependencyKind kind) {
  return static_cast<KindSet>(1U << static_cast<unsigned>(kind));
}
inline constexpr KindSet kAllKinds = 0xff;

inline constexpr uint32_t kNoKey = UINT32_MAX;

struct Edge {
  uint32_t from = 0;
  uint32_t to = 0;  // another node
  uint32_t key = kNoKey;
  DependencyKind kind = DependencyKind::kWriteWrite;
};

struct Arc {
  uint32_t to = 0;
  uint32_t key = kNoKey;
  DependencyKind kind = DependencyKind::kWriteWrite;
};

// The edges by the nodes that they leave, in the order in which they were given.
class ArcTable {
 public:
  ArcTable(uint32_t nodes, const std::vector<Edge>& edges);

  uint32_t nodes() const { return static_cast<uint32_t>(starts_.size() - 1); }
  std::span<const Arc> From(uint32_t node) const {
    return std::span(arcs_).subspan(starts_[node], starts_[node + 1] - starts_[node]);
  }

 private:
  std::vector<uint32_t> starts_;
  std::vector<Arc> arcs_;
};

// Those of two nodes or more, by the edges of kinds in `allowed`; nodes of each in rising order.
// Tarjan ("Depth-first search and linear graph algorithms", 1972), without recursion.
std::vector<std::vector<uint32_t>> FindStrongComponents(const ArcTable& arcs, KindSet allowed);

}  // namespace basalt::check
