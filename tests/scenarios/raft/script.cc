#include "tests/scenarios/raft/script.h"

#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>

#include "fmt/format.h"
#include "tests/scenarios/raft/text.h"

namespace basalt::raft {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;

uint64_t ParseNumber(const std::string& word) { return std::strtoull(word.c_str(), nullptr, 10); }

// "3", "all", or nothing for one.
size_t ParseCount(const std::vector<std::string>& words, size_t position) {
  if (words.size() <= position) return 1;
  return words[position] == "all" ? 1000 : ParseNumber(words[position]);
}

// From the third word on: replicas, "learner" before one that shall not vote.
Configuration ParseTarget(const std::vector<std::string>& words) {
  Configuration target;
  MemberRole role = MemberRole::kVoter;
  for (size_t i = 2; i < words.size(); ++i) {
    if (words[i] == "learner") {
      role = MemberRole::kLearner;
      continue;
    }
    const uint64_t id = ParseNumber(words[i]);
    target.members.push_back({ReplicaId(id), NodeId(id), role});
    role = MemberRole::kVoter;
  }
  return target;
}

std::string MembersText(const CoreStatus& status) {
  return fmt::format("members {} since {}{}", ToText(status.configuration),
                     status.configuration_index.value(),
                     status.configuration_index > status.commit ? ", not committed" : "");
}

}  // namespace

std::string Script::violation() const {
  if (!earlier_violation_.empty() || !cluster_) return earlier_violation_;
  return cluster_->safety().violation();
}

ReplicaId Script::ParseReplica(const std::string& word) { return ReplicaId(ParseNumber(word)); }

Script::Link Script::ParseLink(const std::string& word) {
  const size_t arrow = word.find('>');
  if (arrow == std::string::npos) return {};
  return {ParseReplica(word.substr(0, arrow)), ParseReplica(word.substr(arrow + 1))};
}

std::vector<std::string> Script::Do(const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  const bool quietly = !words.empty() && words[0] == "quietly";
  if (quietly) words.erase(words.begin());
  if (words.empty()) return {"error: no command"};
  if (words[0] == "cluster") {
    StartCluster(words);
    return {};
  }
  if (!cluster_) return {"error: no cluster yet"};
  std::vector<std::string> answer;
  if (words[0] == "status" || words[0] == "log" || words[0] == "flight" || words[0] == "members") {
    Show(words, answer);
    return answer;
  }
  const std::string error = Act(words);
  answer = cluster_->TakeTrace();
  if (quietly) answer.clear();
  if (!error.empty()) answer.push_back("error: " + error);
  return answer;
}

void Script::StartCluster(const Words& words) {
  CoreOptions options;
  options.group = GroupId(1);
  options.seed = 1;
  options.election_timeout_ticks = 10;
  options.heartbeat_ticks = 2;
  options.check_thoroughly = true;
  uint64_t spares = 0;
  std::optional<uint32_t> drift_percent;
  for (size_t i = 2; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const std::string name = words[i].substr(0, equals);
    const uint64_t value = ParseNumber(words[i].substr(equals + 1));
    if (name == "election") options.election_timeout_ticks = static_cast<uint32_t>(value);
    if (name == "heartbeat") options.heartbeat_ticks = static_cast<uint32_t>(value);
    if (name == "spares") spares = value;
    if (name == "inflight") options.inflight_appends_max = static_cast<uint32_t>(value);
    if (name == "inflight_bytes") options.inflight_bytes_max = value;
    if (name == "append_bytes") options.append_bytes_max = value;
    if (name == "memory_bytes") options.memory_bytes_max = value;
    if (name == "apply_bytes") options.apply_bytes_max = value;
    if (name == "uncommitted_bytes") options.uncommitted_bytes_max = value;
    if (name == "leases") drift_percent = static_cast<uint32_t>(value);
    if (name == "stall") options.disk_stall = Time(value * kMillisecond);
  }
  if (drift_percent) {
    options.leases = true;
    options.election_timeout = Time(options.election_timeout_ticks * Cluster::kTickNanoseconds);
    options.lease_duration = LeaseDuration(options.election_timeout, *drift_percent);
  }
  earlier_violation_ = violation();
  held_.clear();
  cluster_ = std::make_unique<Cluster>(ParseNumber(words.at(1)), options, spares);
  cluster_->KeepTrace();
}

std::string Script::Act(const Words& words) {
  if (words[0] == "mend") {
    cluster_->Mend();
  } else if (words[0] == "lose") {
    while (!cluster_->in_flight().empty()) cluster_->Drop(0);
  } else if (words[0] == "run") {
    Run();
  } else if (words[0] == "release") {
    for (Message& message : held_) cluster_->PutInFlight(std::move(message));
    held_.clear();
  } else if (words.size() < 2) {
    return "unknown command " + words[0];
  } else if (words[0] == "advance") {
    if (words.size() == 2) {
      cluster_->LetTimePass(ParseNumber(words[1]) * kMillisecond);
    } else {
      cluster_->replica(ParseReplica(words[1])).LetTimePass(ParseNumber(words[2]) * kMillisecond);
    }
  } else if (words[0] == "checkpoint") {
    return Checkpoint(words);
  } else if (words[1].find('>') != std::string::npos) {
    return ActOnLink(words);
  } else {
    return ActOnReplica(words);
  }
  return "";
}

std::string Script::ActOnReplica(const Words& words) {
  const std::string& verb = words[0];
  const ReplicaId at = ParseReplica(words[1]);
  const size_t count = ParseCount(words, 2);
  if (verb == "tick") {
    for (size_t i = 0; i < count; ++i) cluster_->Tick(at);
  } else if (verb == "campaign") {
    cluster_->Campaign(at);
  } else if (verb == "propose") {
    cluster_->Propose(at, words.size() > 2 ? words[2] : "");
  } else if (verb == "membership") {
    cluster_->ChangeMembership(at, ParseTarget(words));
  } else if (verb == "read") {
    for (size_t i = 0; i < count; ++i) cluster_->Read(at);
  } else if (verb == "lease") {
    cluster_->ReadByLease(at);
  } else if (verb == "transfer") {
    cluster_->Transfer(at, words.size() > 2 ? ParseReplica(words[2]) : ReplicaId(0));
  } else if (verb == "priority") {
    cluster_->SetPriority(at, static_cast<uint32_t>(count));
  } else if (verb == "compact") {
    cluster_->Compact(at, LogIndex(count));
  } else if (verb == "fetch") {
    cluster_->AnswerFetch(at);
  } else if (verb == "write") {
    for (size_t i = 0; i < count && !cluster_->replica(at).writing.empty(); ++i) {
      cluster_->CompleteWrite(at);
    }
  } else if (verb == "apply") {
    cluster_->Apply(at, count);
  } else if (verb == "refuse") {
    cluster_->RefuseInstall(at);
  } else if (verb == "flush") {
    cluster_->Flush(at);
  } else if (verb == "crash") {
    cluster_->Crash(at);
  } else if (verb == "start") {
    cluster_->Start(at);
  } else if (verb == "isolate") {
    for (ReplicaId other : cluster_->ids()) {
      cluster_->Cut(at, other);
      cluster_->Cut(other, at);
    }
  } else {
    return "unknown command " + verb;
  }
  return "";
}

std::string Script::ActOnLink(const Words& words) {
  const std::string& verb = words[0];
  const Link link = ParseLink(words[1]);
  if (verb == "cut") {
    cluster_->Cut(link.from, link.to);
    return "";
  }
  if (verb == "broken") {
    cluster_->TellLinkLost(link.to, link.from);
    return "";
  }
  size_t count = ParseCount(words, 2);
  for (; count > 0; --count) {
    const size_t position = Oldest(link);
    if (position == cluster_->in_flight().size()) break;
    if (verb == "deliver" || verb == "again") {
      cluster_->Deliver(position, verb == "again");
    } else if (verb == "drop" || verb == "hold") {
      if (verb == "hold") held_.push_back(cluster_->in_flight()[position]);
      cluster_->Drop(position);
    } else {
      return "unknown command " + verb;
    }
  }
  return "";
}

std::string Script::Checkpoint(const Words& words) {
  if (words[1].find('>') == std::string::npos) {
    cluster_->CarryCheckpoint(ParseReplica(words[1]), words.size() < 3 || words[2] != "lost");
    return "";
  }
  if (words.size() < 4) return "checkpoint I>J term T";
  const Link link = ParseLink(words[1]);
  cluster_->DeliverCheckpoint(link.from, link.to, Term(ParseNumber(words[3])));
  return "";
}

void Script::Run() {
  for (bool moved = true; moved;) {
    moved = false;
    while (!cluster_->in_flight().empty()) {
      moved = true;
      cluster_->Deliver(0, false);
    }
    for (ReplicaId id : cluster_->ids()) {
      const Replica& at = cluster_->replica(id);
      if (!at.running()) continue;
      moved = moved || !at.writing.empty() || !at.to_apply.empty() || at.installing;
      cluster_->CompleteWrite(id);
      cluster_->Apply(id, 1000);
    }
  }
}

void Script::Show(const Words& words, std::vector<std::string>& answer) const {
  if (words[0] == "flight") {
    for (const Message& message : cluster_->in_flight()) answer.push_back(ToText(message));
    return;
  }
  for (ReplicaId id : cluster_->ids()) {
    if (words.size() > 1 && ParseReplica(words[1]) != id) continue;
    const Replica& at = cluster_->replica(id);
    const std::string name = std::to_string(id.value()) + " ";
    if (words[0] == "members") {
      answer.push_back(name + (at.running() ? MembersText(at.core->status()) : "is down"));
    } else if (words[0] == "log") {
      answer.push_back(name + "log behind " + ToText(at.written.base) + " [" +
                       ToText(at.written.entries) + "]");
    } else {
      answer.push_back(name + (at.running() ? ToText(at.core->status()) : "is down"));
    }
  }
}

size_t Script::Oldest(Link link) const {
  size_t position = 0;
  for (const Message& message : cluster_->in_flight()) {
    if (message.from == link.from && message.to == link.to) break;
    ++position;
  }
  return position;
}

}  // namespace basalt::raft
