// The queue against its rules taken word by word, and what it costs.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/random.h"
#include "server/txn/lock_queue.h"

namespace basalt::txn {
namespace {

constexpr LockMode kShared = LockMode::kShared;
constexpr LockMode kExclusive = LockMode::kExclusive;

TxnId IdOfAge(uint64_t age) { return {0, 1, {1, 1}, age}; }

LockRequest Aged(RequestId request, uint64_t age, std::vector<WantedKey> keys) {
  return {request, AgeOfFirstAttempt(IdOfAge(age)), IdOfAge(age), std::move(keys)};
}

// The rules of lock_queue.h, with everybody judged at every change.
class EverybodyJudged {
 public:
  explicit EverybodyJudged(const LockTable* locks) : locks_(*locks) {}

  QueueEffects Offer(LockRequest request) {
    waiting_.push_back(std::move(request));
    return JudgeAll();
  }
  QueueEffects Done(RequestId request) {
    std::erase_if(proposed_, [&](const LockRequest& other) { return other.request == request; });
    return JudgeAll();
  }
  QueueEffects LocksChanged() { return JudgeAll(); }
  bool Withdraw(RequestId request) {
    return std::erase_if(waiting_,
                         [&](const LockRequest& other) { return other.request == request; }) > 0;
  }

 private:
  static bool Excludes(LockMode a, LockMode b) { return a == kExclusive || b == kExclusive; }
  static const WantedKey* Find(const LockRequest& request, const std::string& key) {
    const auto wanted = std::find_if(request.keys.begin(), request.keys.end(),
                                     [&](const WantedKey& one) { return one.key == key; });
    return wanted == request.keys.end() ? nullptr : &*wanted;
  }
  // Who is in the way at all, and whether the request is older than everybody who must be younger.
  std::pair<bool, bool> Judge(const LockRequest& request, size_t ahead) const {
    bool waits = false;
    bool oldest = true;
    for (const WantedKey& wanted : request.keys) {
      const auto meet = [&](LockMode mode, const std::optional<Age>& age) {
        waits = waits || Excludes(mode, wanted.mode);
        oldest = oldest && (!age || !request.age || *request.age < *age);
      };
      for (const Holder& holder : locks_.HoldersOf(wanted.key)) {
        if (request.holds != holder.id) meet(holder.mode, holder.age);
      }
      for (const LockRequest& other : proposed_) {
        const WantedKey* theirs = Find(other, wanted.key);
        if (theirs != nullptr && other.age) meet(theirs->mode, other.age);
      }
      for (size_t i = 0; i < ahead; ++i) {
        const WantedKey* theirs = Find(waiting_[i], wanted.key);
        if (theirs != nullptr) meet(theirs->mode, waiting_[i].age);
      }
    }
    return {waits, oldest};
  }
  QueueEffects JudgeAll() {
    QueueEffects effects;
    for (size_t i = 0; i < waiting_.size();) {
      const auto [waits, oldest] = Judge(waiting_[i], i);
      if (waits && (oldest || !waiting_[i].age)) {
        ++i;
        continue;
      }
      LockRequest request = std::move(waiting_[i]);
      waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
      (waits ? effects.refused : effects.proposed).push_back(request.request);
      if (!waits) proposed_.push_back(std::move(request));
      i = 0;
    }
    return effects;
  }

  const LockTable& locks_;
  std::vector<LockRequest> proposed_;
  std::vector<LockRequest> waiting_;
};

// One shard with few keys: requests come, are proposed, are applied or refused there, and end.
class RandomShard {
 public:
  explicit RandomShard(uint64_t seed) : random_(seed) {}

  void Step() {
    switch (random_.Below(6)) {
      case 0:
      case 1:
        Offer();
        break;
      case 2:
      case 3:
        Apply();
        break;
      case 4:
        Unlock();
        break;
      default:
        Withdraw();
    }
    ASSERT_EQ(queue_.proposed(), proposed_.size());
  }

 private:
  void Expect(const QueueEffects& is, const QueueEffects& should) {
    ASSERT_EQ(is.proposed, should.proposed);
    ASSERT_EQ(is.refused, should.refused);
    for (const RequestId id : is.proposed) proposed_.push_back(id);
  }
  void Offer() {
    LockRequest request;
    request.request = ++last_;
    const uint64_t kind = random_.Below(4);
    const uint64_t age = 1 + random_.Below(1000);
    const size_t keys = kind == 0 ? 1 : 1 + random_.Below(3);
    std::set<std::string> names;
    while (names.size() < keys)
      names.insert(std::string(1, static_cast<char>('a' + random_.Below(5))));
    for (const std::string& name : names) {
      request.keys.push_back({name, kind == 0 || random_.Below(2) == 0 ? kExclusive : kShared});
    }
    if (kind != 0) request.age = AgeOfFirstAttempt(IdOfAge(age));
    // A Prepare; now and then one that has locks already.
    if (kind > 1)
      request.holds = holders_.empty() || random_.Below(8) != 0
                          ? TxnId{0, 1, {1, 1}, last_ * 10'000 + age}
                          : holders_.begin()->first;
    all_.emplace(request.request, request);
    Expect(queue_.Offer(request), should_.Offer(request));
  }
  void Apply() {
    if (proposed_.empty()) return;
    const RequestId id = proposed_.front();
    proposed_.erase(proposed_.begin());
    const LockRequest& request = all_.at(id);
    const bool takes = request.holds && !holders_.contains(*request.holds) &&
                       std::none_of(request.keys.begin(), request.keys.end(), [&](const auto& key) {
                         return locks_.InTheWay(key.key, key.mode) != nullptr;
                       });
    if (takes) {
      for (const WantedKey& key : request.keys) {
        locks_.Add(key.key, {*request.holds, *request.age, key.mode});
      }
      holders_.emplace(*request.holds, request.keys);
    }
    Expect(queue_.Done(id), should_.Done(id));
  }
  void Unlock() {
    if (holders_.empty()) return;
    auto holder = holders_.begin();
    std::advance(holder, static_cast<ptrdiff_t>(random_.Below(holders_.size())));
    for (const WantedKey& key : holder->second) locks_.Remove(key.key, holder->first);
    holders_.erase(holder);
    Expect(queue_.LocksChanged(), should_.LocksChanged());
  }
  void Withdraw() {
    if (last_ == 0) return;
    const RequestId id = last_ - random_.Below(std::min<uint64_t>(last_, 6));
    ASSERT_EQ(queue_.Withdraw(id), should_.Withdraw(id));
    Expect(queue_.LocksChanged(), should_.LocksChanged());
  }

  base::Random random_;
  LockTable locks_;
  LockQueue queue_{&locks_};
  EverybodyJudged should_{&locks_};
  std::map<RequestId, LockRequest> all_;
  std::vector<RequestId> proposed_;
  std::map<TxnId, std::vector<WantedKey>> holders_;
  RequestId last_ = 0;
};

TEST(LockQueueRules, JudgingFewComesToWhatJudgingAllDoes) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    RandomShard shard(seed);
    for (int step = 0; step < 300; ++step) {
      ASSERT_NO_FATAL_FAILURE(shard.Step());
    }
  }
}

// `count` of them behind one lock: they come, they go one after another, and each is judged a few
// times, however many there are.
uint64_t JudgedBehindOneLock(uint64_t count, LockMode mode, bool aged) {
  LockTable locks;
  LockQueue queue(&locks);
  const uint64_t youngest = 10 * count;
  locks.Add("a", {IdOfAge(youngest), AgeOfFirstAttempt(IdOfAge(youngest)), kExclusive});
  for (uint64_t i = 1; i <= count; ++i) {
    const QueueEffects effects =
        queue.Offer(aged ? Aged(i, youngest - i, {{"a", mode}})
                         : LockRequest{i, std::nullopt, std::nullopt, {{"a", mode}}});
    EXPECT_TRUE(effects.proposed.empty() && effects.refused.empty());
    queue.LocksChanged();  // somebody else's locks, meanwhile
  }
  locks.Remove("a", IdOfAge(youngest));
  std::vector<RequestId> proposed = queue.LocksChanged().proposed;
  for (size_t i = 0; i < proposed.size(); ++i) {
    for (const RequestId next : queue.Done(proposed[i]).proposed) proposed.push_back(next);
  }
  EXPECT_EQ(proposed.size(), count);
  EXPECT_EQ(queue.waiting() + queue.proposed(), 0u);
  return queue.judged();
}

TEST(LockQueueCost, GrowsWithWhatWaitsAndNotWithItsSquare) {
  constexpr uint64_t kCount = 2000;
  EXPECT_LE(JudgedBehindOneLock(kCount, kExclusive, true), 6 * kCount);
  EXPECT_LE(JudgedBehindOneLock(kCount, kShared, true), 6 * kCount);
  EXPECT_LE(JudgedBehindOneLock(kCount, kExclusive, false), 6 * kCount);
}

TEST(LockQueueCost, WhoHasToGiveUpIsJudgedForThatOnly) {
  constexpr uint64_t kCount = 2000;
  LockTable locks;
  LockQueue queue(&locks);
  locks.Add("a", {IdOfAge(9'999), AgeOfFirstAttempt(IdOfAge(9'999)), kExclusive});
  for (uint64_t i = 1; i <= kCount; ++i) {
    queue.Offer(Aged(i, 9'000 - i, {{"a", kShared}, {"b", kShared}}));
  }
  locks.Add("b", {IdOfAge(1), AgeOfFirstAttempt(IdOfAge(1)), kExclusive});
  EXPECT_EQ(queue.LocksChanged().refused.size(), kCount);
  EXPECT_LE(queue.judged(), 3 * kCount);
}

}  // namespace
}  // namespace basalt::txn
