#include "tests/unit/txn/explorer_client.h"

#include <algorithm>
#include <utility>

#include "base/slot.h"

namespace basalt::txn {
namespace {

constexpr Milliseconds kResendAfter = 400;
constexpr int kAttemptsMax = 5;
constexpr int kTurnedAwayMax = 6;

}  // namespace

std::map<Address, std::vector<std::string>> ExplorerClient::ByShard(
    const std::vector<std::string>& keys) const {
  std::map<Address, std::vector<std::string>> by_shard;
  for (const std::string& key : keys) {
    by_shard[network_.OwnerOf(base::SlotOf(key))].push_back(key);
  }
  return by_shard;
}

bool ExplorerClient::InOneShard() const {
  std::vector<std::string> keys = reads_;
  keys.insert(keys.end(), writes_.begin(), writes_.end());
  return ByShard(keys).size() == 1;
}

// Which keys are read and written: each way of committing has its share.
void ExplorerClient::Choose() {
  const std::vector<std::string>& keys = stage_.keys;
  const uint64_t kind = crowding_ && !random_.OneIn(4) ? 6 : random_.Below(8);
  reads_.clear();
  writes_.clear();
  if (kind < 2) {  // one key, read or written or both
    const std::string& key = keys[random_.Below(keys.size())];
    const uint64_t how = random_.Below(3);
    if (how != 0) reads_.push_back(key);
    if (how != 1) writes_.push_back(key);
    return;
  }
  const bool only_reads = kind == 2 || kind == 3;
  const bool one_shard = kind == 4 || kind == 5;
  const Address shard = network_.OwnerOf(base::SlotOf(keys[random_.Below(keys.size())]));
  for (const std::string& key : keys) {
    if (one_shard && network_.OwnerOf(base::SlotOf(key)) != shard) continue;
    const uint64_t how = random_.Below(one_shard ? 3 : 5);  // read, read and written, written
    if (how < (crowding_ ? 1 : 2)) reads_.push_back(key);
    if (!only_reads && (how == 1 || how == 2)) writes_.push_back(key);
  }
  if (reads_.empty() && writes_.empty()) reads_.push_back(keys.front());
}

void ExplorerClient::Begin(Milliseconds now) {
  now_ = now;
  Choose();
  age_.reset();
  attempts_ = 0;
  StartAttempt();
}

void ExplorerClient::StartAttempt() {
  ++number_;
  ++attempts_;
  turned_away_ = 0;
  contents_.clear();
  rounds_.reset();
  one_shard_.reset();
  transaction_.reset();
  record_ = {};
  record_.client = address_;
  record_.name = "transaction " + std::to_string(number_);
  record_.invoked_ns = ++stage_.now_ns;
  if (reads_.empty()) {
    Commit();
    return;
  }
  if (writes_.empty() && !InOneShard()) rounds_.emplace(reads_);
  // One request to one shard is a transaction of its own.
  key_by_key_ = (rounds_ || !writes_.empty()) && random_.OneIn(2);
  phase_ = rounds_ ? Phase::kRounds : Phase::kReading;
  Send();
}

void ExplorerClient::Send() {
  sent_at_ = now_;
  if (phase_ == Phase::kReading) {
    SendReads(0);
  } else if (phase_ == Phase::kCommitting) {
    SendCommit();
  } else if (phase_ == Phase::kRounds) {
    if (rounds_->phase() == ReadOnlyRounds::Phase::kReading) SendReads(rounds_->round());
    if (rounds_->phase() == ReadOnlyRounds::Phase::kValidating) SendValidations();
  }
}

void ExplorerClient::SendReads(uint32_t round) {
  for (auto& [shard, keys] : ByShard(reads_)) {
    if (!key_by_key_) {
      network_.Send(address_, shard, GetRequest{number_, round, keys});
      continue;
    }
    for (const std::string& key : keys) {
      network_.Send(address_, shard, GetRequest{number_, round, {key}});
    }
  }
}

void ExplorerClient::SendValidations() {
  for (const auto& [shard, keys] : ByShard(reads_)) {
    const ReadOnlyRounds::Validation one = rounds_->ValidationOf(keys);
    network_.Send(address_, shard,
                  ValidateRequest{number_, rounds_->round(), one.reads, one.clock, one.pass});
  }
}

void ExplorerClient::Commit() {
  std::vector<Read> reads;
  for (const std::string& key : reads_) {
    const auto place = contents_.find(key);
    reads.push_back({key, place == contents_.end() ? 0 : place->second.version});
  }
  std::vector<Write> writes;
  for (const std::string& key : writes_) {
    const std::string value = std::to_string(address_) + "." + std::to_string(number_);
    writes.push_back({key, value});
    record_.writes.push_back({key, value});
  }
  const std::vector<Part> parts = PartsOf(reads, writes);
  if (!age_) age_ = Age{known_, client_, number_};
  if (InOneShard()) {
    one_shard_ = OneShardRequest{number_, client_, number_, known_, *age_, {reads, writes}};
  } else {
    const TxnId id{AnchorOf(parts), known_, client_, number_};
    transaction_ = Transaction{id, *age_, parts, !rounds_};
  }
  phase_ = Phase::kCommitting;
  Send();
}

void ExplorerClient::SendCommit() {
  if (one_shard_) {
    const std::string& key = writes_.front();
    network_.Send(address_, network_.OwnerOf(base::SlotOf(key)), *one_shard_);
  } else {
    network_.Send(address_, network_.OwnerOf(transaction_->id.anchor),
                  CommitRequest{*transaction_});
  }
}

void ExplorerClient::End(check::Outcome outcome, std::optional<Stamp> version) {
  record_.outcome = outcome;
  record_.responded_ns = ++stage_.now_ns;
  for (const auto& [key, newest] : contents_) record_.reads.push_back({key, newest.version});
  if (outcome == check::Outcome::kApplied && !record_.writes.empty()) record_.version = version;
  if (version) known_ = std::max(known_, *version);
  stage_.history.push_back(record_);
  phase_ = Phase::kIdle;
}

void ExplorerClient::TryAgain() {
  ++stage_.told.refused;
  End(check::Outcome::kNotApplied, {});
  if (attempts_ < kAttemptsMax) StartAttempt();
}

void ExplorerClient::Abandon() {
  if (idle()) return;
  ++stage_.told.unknown;
  End(check::Outcome::kUnknown, {});
  stage_.history.back().responded_ns.reset();
}

void ExplorerClient::Tick(Milliseconds now) {
  now_ = now;
  if (!idle() && now - sent_at_ >= kResendAfter) Send();
}

void ExplorerClient::Receive(const Message& message, Milliseconds now) {
  now_ = now;
  std::visit([&](const auto& content) { On(content); }, message.content);
}

void ExplorerClient::On(const GetReply& reply) {
  if (reply.attempt != number_) return;
  known_ = std::max(known_, reply.clock);
  if (phase_ == Phase::kRounds) {
    const uint32_t round = rounds_->round();
    rounds_->OnRead(reply.round, reply.contents, reply.clock);
    FollowRounds(round);
    return;
  }
  if (phase_ != Phase::kReading) return;
  for (const auto& [key, newest] : reply.contents) contents_.emplace(key, newest);
  if (contents_.size() < reads_.size()) return;
  if (writes_.empty()) {
    ++stage_.told.applied_one_shard;
    End(check::Outcome::kApplied, {});
  } else {
    Commit();
  }
}

void ExplorerClient::On(const ValidateReply& reply) {
  if (reply.attempt != number_ || phase_ != Phase::kRounds) return;
  const uint32_t round = rounds_->round();
  rounds_->OnValidated(reply.round, reply.keys, reply.valid);
  FollowRounds(round);
}

void ExplorerClient::FollowRounds(uint32_t round_before) {
  if (rounds_->round() == round_before) return;
  if (rounds_->phase() == ReadOnlyRounds::Phase::kDone) {
    contents_ = rounds_->contents();
    ++stage_.told.applied_reads;
    End(check::Outcome::kApplied, {});
  } else if (rounds_->phase() == ReadOnlyRounds::Phase::kLocks) {
    Commit();
  } else {
    Send();
  }
}

void ExplorerClient::On(const OneShardReply& reply) {
  if (reply.attempt != number_ || !one_shard_) return;
  if (phase_ != Phase::kCommitting) return;
  switch (reply.verdict) {
    case OneShardReply::Verdict::kApplied:
      ++stage_.told.applied_one_shard;
      End(check::Outcome::kApplied, reply.version);
      break;
    case OneShardReply::Verdict::kChanged:
      TryAgain();
      break;
    case OneShardReply::Verdict::kTurnedAway:
      // Of this send; another may still be on its way. It is sent again after a while.
      if (++turned_away_ >= kTurnedAwayMax) Abandon();
      break;
  }
}

void ExplorerClient::On(const CommitReply& reply) {
  const CommitAnswer& answer = reply.answer;
  if (phase_ != Phase::kCommitting || !transaction_ || answer.id != transaction_->id) return;
  switch (answer.verdict) {
    case CommitAnswer::Verdict::kCommitted:
      if (rounds_) {
        // An answer without them comes from a leader that did not drive it.
        if (!answer.values) return Abandon();
        contents_ = *answer.values;
        ++stage_.told.applied_locked_reads;
      } else {
        ++stage_.told.applied_many_shards;
      }
      End(check::Outcome::kApplied, answer.commit);
      break;
    case CommitAnswer::Verdict::kAborted:
      if (answer.reason == AbortReason::kDeadline) ++stage_.told.deadlines;
      TryAgain();
      break;
    case CommitAnswer::Verdict::kForgotten:
      Abandon();
      break;
    case CommitAnswer::Verdict::kNotOwner:
      break;
  }
}

}  // namespace basalt::txn
