#include "tests/unit/txn/history_judge.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace basalt::check {
namespace {

constexpr size_t kNobody = std::numeric_limits<size_t>::max();

struct Edge {
  size_t to = 0;
  std::string why;
};

class Judge {
 public:
  Judge(const std::vector<TransactionRecord>& transactions, const StoredVersions& stored)
      : transactions_(transactions), stored_(stored), counts_(transactions.size(), false) {}

  std::vector<std::string> Decide() {
    FindWriters();
    for (size_t i = 0; i < transactions_.size(); ++i) CheckStored(i);
    if (violations_.empty()) {
      FindReaders();
      AddVersionEdges();
      AddTimeEdges();
      FindCycle();
    }
    return std::move(violations_);
  }

 private:
  // Of a key's version: who made it, who read it.
  struct Version {
    size_t writer = kNobody;
    std::vector<size_t> readers;
  };

  void Add(std::string text) { violations_.push_back(std::move(text)); }

  std::string NameOf(size_t i) const {
    const TransactionRecord& record = transactions_[i];
    return record.name + " of client " + std::to_string(record.client);
  }

  void FindWriters() {
    std::map<std::pair<std::string, std::string>, size_t> by_value;
    for (size_t i = 0; i < transactions_.size(); ++i) {
      for (const ValueWritten& write : transactions_[i].writes) {
        if (write.value) by_value.emplace(std::pair(write.key, *write.value), i);
        // Nobody else can have made what it was told that it made.
        if (!write.value && transactions_[i].version)
          deletes_[{write.key, *transactions_[i].version}] = i;
      }
    }
    for (const auto& [key, versions] : stored_) {
      std::map<uint64_t, Version>& of_key = versions_[key];
      of_key[0];
      for (const auto& [version, value] : versions) {
        Version& known = of_key[version];
        if (!value) {
          const auto place = deletes_.find({key, version});
          if (place != deletes_.end()) known.writer = place->second;
          continue;  // else by one whose outcome is unknown
        }
        const auto place = by_value.find({key, *value});
        if (place == by_value.end()) {
          Add("nobody wrote " + DescribeBytes(*value) + ", which is stored at " + key +
              ", version " + std::to_string(version));
          continue;
        }
        known.writer = place->second;
        made_[place->second].emplace(key, version);
      }
    }
  }

  void CheckStored(size_t i) {
    const TransactionRecord& record = transactions_[i];
    size_t values = 0;
    for (const ValueWritten& write : record.writes) values += write.value ? 1 : 0;
    const std::set<std::pair<std::string, uint64_t>>& made = made_[i];
    std::set<uint64_t> at;
    for (const auto& [key, version] : made) at.insert(version);
    if (at.size() > 1 || made.size() > values) {
      Add(NameOf(i) + " is stored at several versions");
    } else if (!made.empty() && made.size() < values) {
      Add(NameOf(i) + " is stored in part");
    } else if (!made.empty() && record.refused()) {
      Add("refused, and stored: " + NameOf(i));
    } else if (made.empty() && values > 0 && record.applied()) {
      Add("acknowledged, and not stored: " + NameOf(i));
    } else if (!made.empty() && record.applied() && record.version &&
               *at.begin() != *record.version) {
      Add(NameOf(i) + " was told version " + std::to_string(*record.version) +
          " and is stored at " + std::to_string(*at.begin()));
    }
    counts_[i] = record.applied() || (!made.empty() && !record.refused());
  }

  void FindReaders() {
    for (size_t i = 0; i < transactions_.size(); ++i) {
      if (!counts_[i]) continue;
      for (const VersionRead& read : transactions_[i].reads) {
        std::map<uint64_t, Version>& of_key = versions_[read.key];
        of_key[0];
        const auto place = of_key.find(read.version);
        if (place == of_key.end()) {
          Add(NameOf(i) + " read version " + std::to_string(read.version) + " of " + read.key +
              ", which is not stored");
        } else {
          place->second.readers.push_back(i);
        }
      }
    }
  }

  void Connect(size_t from, size_t to, std::string why) {
    if (from == kNobody || to == kNobody || from == to) return;
    edges_[from].push_back({to, std::move(why)});
  }

  void AddVersionEdges() {
    edges_.resize(transactions_.size());
    for (const auto& [key, versions] : versions_) {
      const Version* before = nullptr;
      for (const auto& [number, version] : versions) {
        const std::string at = key + "@" + std::to_string(number);
        if (before != nullptr) {
          Connect(before->writer, version.writer, "wrote what was overwritten by " + at);
          for (const size_t reader : before->readers) {
            Connect(reader, version.writer, "read what was overwritten by " + at);
          }
        }
        for (const size_t reader : version.readers) {
          Connect(version.writer, reader, "wrote what was read, " + at);
        }
        before = &version;
      }
    }
  }

  // An answer comes before all that is invoked later: through a chain of one node for each answer.
  void AddTimeEdges() {
    std::vector<std::pair<int64_t, size_t>> answers;
    for (size_t i = 0; i < transactions_.size(); ++i) {
      if (counts_[i] && transactions_[i].responded_ns) {
        answers.emplace_back(*transactions_[i].responded_ns, i);
      }
    }
    std::sort(answers.begin(), answers.end());
    const size_t first = edges_.size();
    edges_.resize(first + answers.size());
    for (size_t n = 0; n < answers.size(); ++n) {
      Connect(answers[n].second, first + n, "had answered");
      if (n + 1 < answers.size()) Connect(first + n, first + n + 1, "");
    }
    for (size_t i = 0; i < transactions_.size(); ++i) {
      if (!counts_[i]) continue;
      const auto place = std::lower_bound(answers.begin(), answers.end(),
                                          std::pair(transactions_[i].invoked_ns, size_t{0}));
      if (place == answers.begin()) continue;
      Connect(first + static_cast<size_t>(place - answers.begin()) - 1, i, "");
    }
  }

  // What is left when whoever has nobody before it is taken away, again and again, holds a cycle.
  void FindCycle() {
    std::vector<size_t> before(edges_.size(), 0);
    for (const std::vector<Edge>& edges : edges_) {
      for (const Edge& edge : edges) ++before[edge.to];
    }
    std::vector<size_t> ready;
    for (size_t i = 0; i < before.size(); ++i) {
      if (before[i] == 0) ready.push_back(i);
    }
    size_t taken = 0;
    while (!ready.empty()) {
      const size_t i = ready.back();
      ready.pop_back();
      ++taken;
      for (const Edge& edge : edges_[i]) {
        if (--before[edge.to] == 0) ready.push_back(edge.to);
      }
    }
    if (taken < edges_.size()) DescribeCycle(before);
  }

  // Backwards there is always somebody left to go to; so a node comes twice.
  void DescribeCycle(const std::vector<size_t>& before) {
    std::vector<std::pair<size_t, const Edge*>> into(edges_.size(), {kNobody, nullptr});
    for (size_t i = 0; i < edges_.size(); ++i) {
      if (before[i] == 0) continue;
      for (const Edge& edge : edges_[i]) {
        if (before[edge.to] > 0) into[edge.to] = {i, &edge};
      }
    }
    size_t at = 0;
    while (before[at] == 0) ++at;
    std::vector<bool> seen(edges_.size(), false);
    while (!seen[at]) {
      seen[at] = true;
      at = into[at].first;
    }
    std::string text;
    const size_t end = at;
    do {
      const auto [from, edge] = into[at];
      if (!edge->why.empty()) text = "; " + NameOf(from) + " " + edge->why + text;
      at = from;
    } while (at != end);
    Add("no order explains this: each comes before the next" + text);
  }

  const std::vector<TransactionRecord>& transactions_;
  const StoredVersions& stored_;
  std::vector<bool> counts_;  // those that took effect
  std::map<std::string, std::map<uint64_t, Version>> versions_;
  std::map<std::pair<std::string, uint64_t>, size_t> deletes_;
  std::map<size_t, std::set<std::pair<std::string, uint64_t>>> made_;
  std::vector<std::vector<Edge>> edges_;  // of the transactions, then of the answers
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> FindSerializabilityViolations(
    const std::vector<TransactionRecord>& transactions, const StoredVersions& stored) {
  return Judge(transactions, stored).Decide();
}

}  // namespace basalt::check
