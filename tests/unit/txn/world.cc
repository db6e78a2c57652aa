#include "tests/unit/txn/world.h"

#include <algorithm>
#include <utility>

#include "base/slot.h"

namespace basalt::txn {
namespace {

constexpr int kStepsMax = 60000;
constexpr size_t kInFlightMax = 40;  // beyond it time waits, or resends would choke the network

}  // namespace

World::World(uint64_t seed)
    : random_(seed),
      calm_(random_.OneIn(3)),
      lossy_(!calm_ && random_.OneIn(2)),
      crashy_(!calm_ && !random_.OneIn(3)),
      cutting_(!calm_ && random_.OneIn(4)),
      forgetful_(!calm_ && random_.OneIn(4)),
      hasty_(random_.OneIn(2)),
      crowded_(random_.OneIn(3)),
      slow_(random_.Below(2 * std::variant_size_v<Content>)),
      to_begin_(crowded_ ? random_.Between(12, 40) : random_.Between(6, 24)) {
  const uint64_t shards = random_.Between(2, 3);
  const uint32_t count = static_cast<uint32_t>(base::kSlotCount / shards);
  for (uint32_t i = 0; i < shards; ++i) {
    const uint32_t first = i * count;
    const SlotRange range{first, i + 1 == shards ? base::kSlotCount - first : count};
    const int64_t offset = static_cast<int64_t>(random_.Below(6000)) - 3000;
    base::Random* hasty = hasty_ ? &random_ : nullptr;
    shards_.push_back(std::make_unique<ShardServer>(i, range, this, &reached_, offset, hasty));
    cut_.push_back(false);
  }
  MakeKeys();
  const uint64_t clients = crowded_ ? random_.Between(4, 8) : random_.Between(2, 5);
  for (uint64_t i = 0; i < clients; ++i) {
    const auto address = static_cast<Address>(shards + i);
    clients_.push_back(
        std::make_unique<ExplorerClient>(address, random_.Next(), crowded_, this, &stage_));
  }
}

// One or two keys of each shard; two of one slot, or not.
void World::MakeKeys() {
  for (Address shard = 0; shard < shards_.size(); ++shard) {
    std::vector<std::string> own;
    for (char letter = 'a'; own.size() < 2; ++letter) {
      const std::string key(1, letter);
      if (OwnerOf(base::SlotOf(key)) == shard) own.push_back(key);
    }
    if (random_.OneIn(3)) own[1] = "{" + own[0] + "}2";
    if (random_.OneIn(3)) own.pop_back();
    stage_.keys.insert(stage_.keys.end(), own.begin(), own.end());
  }
}

void World::Send(Address from, Address to, Content content) {
  in_flight_.push_back({from, to, std::move(content)});
}

Address World::OwnerOf(Slot slot) const {
  const uint32_t count = base::kSlotCount / static_cast<uint32_t>(shards_.size());
  return std::min<Address>(slot / count, static_cast<Address>(shards_.size()) - 1);
}

bool World::IsCut(const Message& message) const {
  const auto is_cut = [this](Address address) { return address < cut_.size() && cut_[address]; };
  return message.from != message.to && (is_cut(message.from) || is_cut(message.to));
}

bool World::DeliverOne() {
  for (int tries = 0; tries < 4 && !in_flight_.empty(); ++tries) {
    const size_t place = random_.Below(in_flight_.size());
    if (IsCut(in_flight_[place])) continue;
    if (in_flight_[place].content.index() == slow_ && !random_.OneIn(8)) continue;
    Message message = in_flight_[place];
    const bool doubled = lossy_ && !healing_ && random_.OneIn(12);
    if (!doubled) {
      std::swap(in_flight_[place], in_flight_.back());
      in_flight_.pop_back();
    }
    if (lossy_ && !healing_ && random_.OneIn(12)) return true;
    ++stage_.now_ns;
    if (message.to < shards_.size()) {
      shards_[message.to]->Receive(message, now_);
    } else {
      clients_[message.to - shards_.size()]->Receive(message, now_);
    }
    return true;
  }
  return false;
}

bool World::CommitOne() {
  const size_t first = random_.Below(shards_.size());
  for (size_t n = 0; n < shards_.size(); ++n) {
    const size_t i = (first + n) % shards_.size();
    if (!shards_[i]->HasProposals()) continue;
    ++stage_.now_ns;
    shards_[i]->CommitOne();
    return true;
  }
  return false;
}

void World::BeginOne() {
  if (to_begin_ == 0) return;
  const size_t i = random_.Below(clients_.size());
  if (!clients_[i]->idle()) return;
  --to_begin_;
  clients_[i]->Begin(now_);
}

void World::PassTime() {
  if (in_flight_.size() > kInFlightMax) return;
  now_ += random_.Between(10, 150);
  for (const auto& shard : shards_) shard->Tick(now_);
  for (const auto& client : clients_) client->Tick(now_);
}

void World::Fault() {
  const size_t i = random_.Below(shards_.size());
  switch (random_.Below(8)) {
    case 0:
    case 1:
    case 2:
      if (crashy_) shards_[i]->Crash(random_.Below(shards_[i]->proposals() + 1));
      break;
    case 3:
      if (cutting_) cut_[i] = !cut_[i];
      break;
    case 4:
      if (forgetful_) shards_[i]->ProposeForget(random_.Below(shards_[i]->highest_stamp() + 1));
      break;
    case 5:
      if (crashy_ && random_.OneIn(4)) clients_[random_.Below(clients_.size())]->Abandon();
      break;
    case 6:
      if (crashy_) shards_[i]->Meddle(random_);
      break;
    default:
      PassTime();
  }
}

void World::Step() {
  const uint64_t what = random_.Below(100);
  if (what < 50) {
    if (DeliverOne()) return;
  } else if (what < 85) {
    if (CommitOne()) return;
  } else if (what < 92) {
    BeginOne();
    return;
  } else if (!calm_ && !healing_ && what < 96) {
    Fault();
    return;
  } else if (!calm_) {
    if (random_.OneIn(4)) PassTime();
    return;
  }
  // Without faults time stands still while anything is under way: no deadline may pass.
  if (!calm_ || (in_flight_.empty() && !CommitOne())) PassTime();
}

bool World::IsFinished() const {
  return to_begin_ == 0 && in_flight_.empty() &&
         std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& client) { return client->idle(); }) &&
         std::all_of(shards_.begin(), shards_.end(),
                     [](const auto& shard) { return shard->Unfinished().empty(); });
}

std::string World::Stuck() const {
  for (const auto& shard : shards_) {
    if (!shard->Unfinished().empty()) return "it does not end: " + shard->Unfinished();
  }
  return "it does not end: a client waits";
}

std::string World::Judge() const {
  for (const auto& shard : shards_) {
    if (!shard->violation().empty()) return shard->violation();
  }
  if (calm_ && stage_.told.deadlines > 0) return "a deadline passed though nothing went wrong";
  check::StoredVersions stored;
  for (const auto& shard : shards_) {
    stored.insert(shard->versions().begin(), shard->versions().end());
  }
  const std::vector<std::string> violations =
      check::FindSerializabilityViolations(stage_.history, stored);
  return violations.empty() ? "" : violations.front();
}

std::string World::Run() {
  for (int i = 0; i < kStepsMax && to_begin_ > 0; ++i) Step();
  // Some wait for a while before the world heals.
  for (uint64_t i = random_.Below(400); i > 0; --i) Step();
  healing_ = true;
  std::fill(cut_.begin(), cut_.end(), false);
  for (int i = 0; i < kStepsMax && !IsFinished(); ++i) Step();
  const std::string violation = Judge();
  if (!violation.empty()) return violation;
  return IsFinished() ? "" : Stuck();
}

}  // namespace basalt::txn
