#include "check/cycle_search.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <optional>
#include <utility>

namespace basalt::check {
namespace {

constexpr KindSet kWrites = SetOf(DependencyKind::kWriteWrite) | SetOf(DependencyKind::kThrough);
constexpr KindSet kFlow = kWrites | SetOf(DependencyKind::kWriteRead);
constexpr KindSet kAnti = SetOf(DependencyKind::kReadWrite);
constexpr KindSet kSessions = SetOf(DependencyKind::kSession);
constexpr KindSet kTime = kSessions | SetOf(DependencyKind::kRealTime);

// Arcs that all searches of one kind of cycle in one component may follow.
constexpr uint64_t kArcsMax = 10'000'000;

// A cycle of so many edges is shown; a longer one only if there is none that needs time and is
// shorter.
constexpr size_t kShort = 8;
constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

// One component by itself, its nodes numbered anew.
class Component {
 public:
  Component(const DependencyGraph& graph, std::vector<uint32_t> members, std::vector<Edge> edges)
      : graph_(graph),
        members_(std::move(members)),
        edges_(std::move(edges)),
        arcs_(static_cast<uint32_t>(members_.size()), edges_),
        reached_(members_.size()) {}

  Cycle Search() {
    Cycle best;
    const auto improve = [&](KindSet allowed, KindSet back) {
      const Cycle cycle = Shortest(allowed, back, best.empty() ? kUnlimited : best.size());
      if (!cycle.empty()) best = WithoutDetours(cycle);
      return !best.empty() && best.size() <= kShort;
    };
    for (const KindSet time : {KindSet{0}, kSessions, kTime}) {
      for (const KindSet flow : {kWrites, kFlow}) {
        if (improve(flow | time, flow | time)) return best;
      }
      // A way back without a second anti-dependency, then any.
      for (const KindSet back : {kFlow, KindSet{kFlow | kAnti}}) {
        if (improve(kFlow | kAnti | time, back | time)) return best;
      }
    }
    return best;
  }

 private:
  struct Reached {
    uint32_t search = 0;  // the last that came here
    uint32_t distance = 0;
    uint32_t from = 0;
    Arc arc;
  };

  bool IsTransaction(uint32_t node) const { return members_[node] < graph_.transactions; }
  int64_t BeginOf(uint32_t node) const {
    // A point is never later than what leads there, so edges into points are all tried.
    return IsTransaction(node) ? graph_.begin_ns[members_[node]]
                               : std::numeric_limits<int64_t>::min();
  }

  // The shortest cycle of edges in `allowed`, of which all but one are in `back`, if it is shorter
  // than `limit`.
  Cycle Shortest(KindSet allowed, KindSet back, size_t limit) {
    std::vector<Edge> starts = BackwardEdges(allowed);
    if (back != allowed) {
      std::erase_if(starts, [](const Edge& e) { return e.kind != DependencyKind::kReadWrite; });
    }
    Cycle best;
    arcs_followed_ = 0;
    for (const Edge& start : starts) {
      if (limit <= 2 || arcs_followed_ > kArcsMax) break;
      Cycle cycle = CloseBy(start, back, limit);
      if (cycle.empty()) continue;
      limit = cycle.size();
      best = std::move(cycle);
    }
    return best;
  }

  // In each cycle there is one that leads to what began no later than where it comes from, and it
  // is none of sessions or time. Those that lead back furthest first: they close soonest.
  std::vector<Edge> BackwardEdges(KindSet allowed) const {
    std::vector<uint32_t> part(members_.size(), 0);
    uint32_t number = 0;
    for (const auto& nodes : FindStrongComponents(arcs_, allowed)) {
      ++number;
      for (const uint32_t node : nodes) part[node] = number;
    }
    std::vector<Edge> backward;
    const KindSet kinds = allowed & static_cast<KindSet>(kFlow | kAnti);
    for (const Edge& edge : edges_) {
      const bool inside = part[edge.from] != 0 && part[edge.from] == part[edge.to];
      if (inside && (SetOf(edge.kind) & kinds) != 0 && IsTransaction(edge.from) &&
          BeginOf(edge.to) <= BeginOf(edge.from)) {
        backward.push_back(edge);
      }
    }
    std::stable_sort(backward.begin(), backward.end(),
                     [this](const Edge& a, const Edge& b) { return LengthOf(a) > LengthOf(b); });
    return backward;
  }

  uint64_t LengthOf(const Edge& edge) const {
    return static_cast<uint64_t>(BeginOf(edge.from)) - static_cast<uint64_t>(BeginOf(edge.to));
  }

  // `start` and the shortest way back from its end, if that makes fewer than `limit` edges.
  Cycle CloseBy(const Edge& start, KindSet back, size_t limit) {
    ++search_;
    const uint32_t first_cost = 1;
    reached_[start.to] = {search_, first_cost, start.from, {start.to, start.key, start.kind}};
    std::deque<uint32_t> queue{start.to};
    while (!queue.empty()) {
      const uint32_t node = queue.front();
      queue.pop_front();
      if (node == start.from) return ReadOut(start);
      const uint32_t cost = IsTransaction(node) ? 1 : 0;
      const uint32_t distance = reached_[node].distance + cost;
      for (const Arc& arc : arcs_.From(node)) {
        ++arcs_followed_;
        if ((SetOf(arc.kind) & back) == 0 || distance >= limit) continue;
        Reached& to = reached_[arc.to];
        if (to.search == search_ && to.distance <= distance) continue;
        to = {search_, distance, node, arc};
        cost == 0 ? queue.push_front(arc.to) : queue.push_back(arc.to);
      }
    }
    return {};
  }

  Cycle ReadOut(const Edge& start) const {
    Cycle cycle;
    uint32_t end = start.from;
    uint32_t node = start.from;
    do {
      const Reached& step = reached_[node];
      if (IsTransaction(step.from)) {
        cycle.push_back({members_[step.from], members_[end], step.arc.key, step.arc.kind});
        end = step.from;
      }
      node = step.from;
    } while (node != start.from);
    std::reverse(cycle.begin(), cycle.end());
    return cycle;
  }

  // Whoever wrote before somebody who wrote before a third, wrote before that one.
  static Cycle WithoutDetours(const Cycle& cycle) {
    Cycle direct;
    for (const Edge& edge : cycle) {
      const bool goes_on = !direct.empty() && edge.kind == DependencyKind::kWriteWrite &&
                           direct.back().kind == edge.kind && direct.back().key == edge.key &&
                           direct.back().from != edge.to;
      goes_on ? direct.back().to = edge.to : direct.emplace_back(edge).to;
    }
    return direct;
  }

  const DependencyGraph& graph_;
  const std::vector<uint32_t> members_;
  const std::vector<Edge> edges_;
  const ArcTable arcs_;
  std::vector<Reached> reached_;
  uint32_t search_ = 0;
  uint64_t arcs_followed_ = 0;
};

}  // namespace

std::vector<Cycle> FindCycles(const DependencyGraph& graph) {
  auto components = FindStrongComponents(ArcTable(graph.nodes, graph.edges), kAllKinds);
  std::sort(components.begin(), components.end());
  struct Place {
    uint32_t component = 0;  // from 1
    uint32_t node = 0;
  };
  std::vector<Place> places(components.empty() ? 0 : graph.nodes);
  for (uint32_t i = 0; i < components.size(); ++i) {
    for (uint32_t k = 0; k < components[i].size(); ++k) places[components[i][k]] = {i + 1, k};
  }
  std::vector<std::vector<Edge>> edges(components.size());
  for (const Edge& edge : graph.edges) {
    if (places.empty()) break;
    const Place& from = places[edge.from];
    const Place& to = places[edge.to];
    if (from.component == 0 || from.component != to.component) continue;
    edges[from.component - 1].push_back({from.node, to.node, edge.key, edge.kind});
  }
  std::vector<Cycle> cycles;
  for (size_t i = 0; i < components.size(); ++i) {
    cycles.push_back(Component(graph, std::move(components[i]), std::move(edges[i])).Search());
  }
  return cycles;
}

}  // namespace basalt::check
