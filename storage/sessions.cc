#include "storage/sessions.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/status.h"
#include "storage/big_endian.h"
#include "storage/state_rows.h"

namespace basalt::storage {
namespace {

constexpr uint8_t kLayout = 1;            // of kForgottenRow
constexpr uint8_t kRowLayout = 2;         // of the rows that hold results
constexpr uint8_t kRowLayoutNoMarks = 1;  // as rows were at first
constexpr uint8_t kHasVersion = 0x80;     // beside `kinds`: it is not the result's stamp
constexpr uint8_t kHasNumber = 0x40;      // it is not 0
constexpr uint64_t kOfThisEntry = 0;      // Kept::index before EndEntry; no entry has it

std::string RowKey(uint64_t index) {
  std::string key(kSessionRowPrefix);
  AppendBigEndian<uint64_t>(index, key);
  return key;
}

absl::Status Damaged() { return base::DataLoss("a row of the sessions is damaged"); }

}  // namespace

SessionTable::Session* SessionTable::Find(const ClientId& client) const {
  if (last_found_ != nullptr && last_found_->client == client) return last_found_;
  const auto place = sessions_.find(client);
  if (place == sessions_.end()) return nullptr;
  last_found_ = place->second.get();
  return last_found_;
}

SessionTable::Judged SessionTable::Judge(const CommandKey& command) const {
  if (command.sequence == 0) return {Verdict::kGivenUp, {}};  // no number; the edge refuses it
  const Session* session = Find(command.client);
  if (session != nullptr) {
    if (command.sequence < session->lowest_open) return {Verdict::kGivenUp, {}};
    const auto place = std::lower_bound(
        session->kept.begin(), session->kept.end(), command.sequence,
        [](const Kept& kept, uint64_t sequence) { return kept.sequence < sequence; });
    if (place != session->kept.end() && place->sequence == command.sequence) {
      return {Verdict::kRepeated, place->result};
    }
  }
  // Also of a client that is known again: what was dropped of it may have held this number.
  if (command.issued < forgotten_) return {Verdict::kForgotten, {}};
  if (session != nullptr && session->kept.size() >= kResultsPerSession) {
    const auto stays = std::lower_bound(
        session->kept.begin(), session->kept.end(), command.lowest_open,
        [](const Kept& kept, uint64_t sequence) { return kept.sequence < sequence; });
    if (stays == session->kept.begin()) return {Verdict::kTooMany, {}};
  }
  return {Verdict::kRuns, {}};
}

void SessionTable::Record(const CommandKey& command, uint64_t stamp, const SessionResult& result) {
  BASALT_CHECK(result.kinds < kKindsMax);
  BASALT_CHECK(newest_ == nullptr || stamp > newest_->stamp);
  Session* session = Find(command.client);
  if (session == nullptr) {
    auto fresh = std::make_unique<Session>();
    fresh->client = command.client;
    session = fresh.get();
    sessions_.emplace(command.client, std::move(fresh));
    last_found_ = session;
  } else {
    Unlink(*session);
  }
  session->stamp = stamp;
  LinkNewest(*session);
  LetGo(*session, std::min(command.lowest_open, command.sequence));
  const Kept kept{command.sequence, kOfThisEntry, stamp, result};
  auto place = session->kept.end();
  if (!session->kept.empty() && session->kept.back().sequence >= command.sequence) {
    place = std::lower_bound(
        session->kept.begin(), session->kept.end(), command.sequence,
        [](const Kept& one, uint64_t sequence) { return one.sequence < sequence; });
    BASALT_CHECK(place->sequence != command.sequence);  // S1
  }
  session->kept.insert(place, kept);
  ++results_;
  entry_.push_back({session, kept});
}

// Results below it are not asked for again.
void SessionTable::LetGo(Session& session, uint64_t lowest_open) {
  if (lowest_open <= session.lowest_open) return;
  session.lowest_open = lowest_open;
  auto end = session.kept.begin();
  while (end != session.kept.end() && end->sequence < lowest_open) {
    LetGoOf(end->index);
    ++end;
  }
  results_ -= static_cast<size_t>(end - session.kept.begin());
  session.kept.erase(session.kept.begin(), end);  // a deque: what stays does not move
}

void SessionTable::LetGoOf(uint64_t index) {
  if (index == kOfThisEntry) return;  // EndEntry looks for those that are left
  const auto row = stored_rows_.find(index);
  BASALT_CHECK(row != stored_rows_.end());
  if (--row->second.kept > 0) return;
  stored_rows_.erase(row);
  emptied_.push_back(index);
}

void SessionTable::Unlink(Session& session) {
  (session.older == nullptr ? oldest_ : session.older->newer) = session.newer;
  (session.newer == nullptr ? newest_ : session.newer->older) = session.older;
  session.older = session.newer = nullptr;
}

void SessionTable::LinkNewest(Session& session) {
  session.older = newest_;
  (newest_ == nullptr ? oldest_ : newest_->newer) = &session;
  newest_ = &session;
}

void SessionTable::EndEntry(uint64_t index, Batch& batch) {
  BASALT_CHECK(index != kOfThisEntry);
  std::erase_if(entry_, [index](RowItem& item) {
    std::deque<Kept>& kept = item.session->kept;
    const auto place = std::lower_bound(
        kept.begin(), kept.end(), item.kept.sequence,
        [](const Kept& one, uint64_t sequence) { return one.sequence < sequence; });
    if (place == kept.end() || place->sequence != item.kept.sequence) return true;
    place->index = index;
    return false;
  });
  if (!entry_.empty()) {
    const auto count = static_cast<uint32_t>(entry_.size());
    stored_rows_.emplace(index, RowCount{.kept = count, .stored = count});
    batch.Put(Family::kState, RowKey(index), EncodeRow(entry_));
    entry_.clear();
  }
  for (const uint64_t emptied : emptied_) batch.Delete(Family::kState, RowKey(emptied));
  emptied_.clear();
}

// Sorted by client, so that equal results give equal bytes.
std::string SessionTable::EncodeRow(std::vector<RowItem>& items) {
  uint64_t base = std::numeric_limits<uint64_t>::max();
  uint32_t clients = 0;
  const Session* last = nullptr;
  std::sort(items.begin(), items.end(), [](const RowItem& a, const RowItem& b) {
    if (a.session != b.session) return a.session->client < b.session->client;
    return a.kept.sequence < b.kept.sequence;
  });
  for (const RowItem& item : items) {
    base = std::min(base, item.kept.stamp);
    if (item.session != std::exchange(last, item.session)) ++clients;
  }
  std::string bytes;
  bytes.reserve(13 + size_t{28} * clients + 17 * items.size());
  AppendBigEndian<uint8_t>(kRowLayout, bytes);
  AppendBigEndian<uint64_t>(base, bytes);
  AppendBigEndian<uint32_t>(clients, bytes);
  for (auto item = items.begin(); item != items.end();) {
    const Session* const session = item->session;
    const auto end = std::find_if(item, items.end(),
                                  [session](const RowItem& one) { return one.session != session; });
    AppendBigEndian<uint64_t>(session->client.high, bytes);
    AppendBigEndian<uint64_t>(session->client.low, bytes);
    AppendBigEndian<uint64_t>(session->lowest_open, bytes);
    AppendBigEndian<uint32_t>(static_cast<uint32_t>(end - item), bytes);
    for (; item != end; ++item) {
      const auto& [sequence, index, stamp, result] = item->kept;
      uint8_t kinds = result.kinds;
      if (result.version != stamp) kinds |= kHasVersion;
      if (result.number != 0) kinds |= kHasNumber;
      AppendBigEndian<uint64_t>(sequence, bytes);
      AppendBigEndian<uint32_t>(static_cast<uint32_t>(stamp - base), bytes);
      AppendBigEndian<uint8_t>(kinds, bytes);
      AppendBigEndian<uint32_t>(result.mark, bytes);
      if ((kinds & kHasVersion) != 0) AppendBigEndian<uint64_t>(result.version, bytes);
      if ((kinds & kHasNumber) != 0) AppendBigEndian<uint64_t>(result.number, bytes);
    }
  }
  return bytes;
}

size_t SessionTable::Forget(uint64_t through, uint64_t bytes_max, Batch& batch) {
  // Their results in the entry under way, first: it may hold many, as may the shard clients.
  uint64_t left_bytes = bytes();
  const Session* stays = oldest_;
  while (stays != nullptr && (stays->stamp <= through || left_bytes > bytes_max)) {
    left_bytes -= kSessionBytes + stays->kept.size() * kResultBytes;
    stays = stays->newer;
  }
  const uint64_t dropped_through =
      stays == nullptr ? std::numeric_limits<uint64_t>::max() : stays->stamp - 1;
  std::erase_if(entry_, [dropped_through](const RowItem& item) {
    return item.session->stamp <= dropped_through;
  });
  size_t dropped = 0;
  while (oldest_ != stays) {
    Session& session = *oldest_;
    for (const Kept& kept : session.kept) LetGoOf(kept.index);
    results_ -= session.kept.size();
    forgotten_ = session.stamp;
    Unlink(session);
    if (last_found_ == &session) last_found_ = nullptr;
    sessions_.erase(session.client);
    ++dropped;
  }
  if (dropped == 0) return 0;
  for (const uint64_t emptied : emptied_) batch.Delete(Family::kState, RowKey(emptied));
  emptied_.clear();
  RewriteRows(batch);
  StageForgotten(batch);
  return dropped;
}

// Rows that hold results which are not kept, those of the dropped and maybe others': a later Load
// must not find a client in them that is gone.
void SessionTable::RewriteRows(Batch& batch) {
  std::map<uint64_t, std::vector<RowItem>> rewritten;
  for (const auto& [index, row] : stored_rows_) {
    if (row.stored > row.kept) rewritten.try_emplace(index);
  }
  if (rewritten.empty()) return;
  for (const auto& [client, session] : sessions_) {
    for (const Kept& kept : session->kept) {
      const auto row = rewritten.find(kept.index);
      if (row != rewritten.end()) row->second.push_back({session.get(), kept});
    }
  }
  for (auto& [index, items] : rewritten) {
    batch.Put(Family::kState, RowKey(index), EncodeRow(items));
    stored_rows_[index].stored = static_cast<uint32_t>(items.size());
  }
}

uint64_t SessionTable::Digest() const {
  const auto mix = [](uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
    return hash ^ (hash >> 32);
  };
  uint64_t digest = mix(0, forgotten_);
  for (const auto& [client, session] : sessions_) {
    const uint64_t of_client = mix(mix(mix(1, client.high), client.low), session->lowest_open);
    digest += of_client;
    for (const auto& [sequence, index, stamp, result] : session->kept) {
      const uint64_t place = mix(mix(mix(of_client, sequence), index), stamp);
      digest += mix(mix(mix(mix(place, result.version), result.number), result.kinds), result.mark);
    }
  }
  return digest;
}

void SessionTable::StageForgotten(Batch& batch) const {
  std::string bytes;
  AppendBigEndian<uint8_t>(kLayout, bytes);
  AppendBigEndian<uint64_t>(forgotten_, bytes);
  batch.Put(Family::kState, kForgottenRow, bytes);
}

absl::Status SessionTable::LoadForgotten(Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(const std::optional<std::string> row,
                          engine.Get(Family::kState, kForgottenRow));
  if (!row) return absl::OkStatus();
  constexpr size_t kRowSize = sizeof(kLayout) + sizeof(forgotten_);
  if (row->size() != kRowSize || row->front() != char{kLayout}) return Damaged();
  forgotten_ = ReadBigEndian<uint64_t>(std::string_view(*row).substr(sizeof(kLayout)));
  return absl::OkStatus();
}

absl::Status SessionTable::Load(Engine& engine) {
  *this = {};
  BASALT_RETURN_IF_ERROR(LoadForgotten(engine));
  const auto rows = engine.NewIterator(Family::kState, nullptr);
  for (rows->Seek(kSessionRowPrefix); rows->Valid(); rows->Next()) {
    std::string_view key = rows->key();
    if (!key.starts_with(kSessionRowPrefix)) break;
    key.remove_prefix(kSessionRowPrefix.size());
    if (key.size() != sizeof(uint64_t)) return Damaged();
    BASALT_RETURN_IF_ERROR(TakeRow(ReadBigEndian<uint64_t>(key), rows->value()));
  }
  BASALT_RETURN_IF_ERROR(rows->status());
  std::vector<Session*> by_age;
  for (const auto& [client, owned] : sessions_) {
    Session& session = *owned;
    std::erase_if(session.kept,
                  [&session](const Kept& kept) { return kept.sequence < session.lowest_open; });
    std::sort(session.kept.begin(), session.kept.end(),
              [](const Kept& a, const Kept& b) { return a.sequence < b.sequence; });
    if (session.kept.empty() || session.stamp <= forgotten_) return Damaged();  // S3, S4
    for (const Kept& kept : session.kept) ++stored_rows_[kept.index].kept;
    results_ += session.kept.size();
    by_age.push_back(&session);
  }
  std::sort(by_age.begin(), by_age.end(),
            [](const Session* a, const Session* b) { return a->stamp < b->stamp; });
  for (Session* session : by_age) LinkNewest(*session);
  return absl::OkStatus();
}

absl::Status SessionTable::TakeRow(uint64_t index, std::string_view bytes) {
  BigEndianReader reader(bytes);
  const auto layout = reader.Take<uint8_t>();
  if (layout != kRowLayout && layout != kRowLayoutNoMarks) return Damaged();
  if (index == kOfThisEntry) return Damaged();
  const auto base = reader.Take<uint64_t>();
  const auto clients = reader.Take<uint32_t>();
  for (uint32_t c = 0; c < clients && reader.ok(); ++c) {
    ClientId client;
    client.high = reader.Take<uint64_t>();
    client.low = reader.Take<uint64_t>();
    std::unique_ptr<Session>& session = sessions_[client];
    if (session == nullptr) session = std::make_unique<Session>();
    session->client = client;
    session->lowest_open = std::max(session->lowest_open, reader.Take<uint64_t>());
    const auto count = reader.Take<uint32_t>();
    for (uint32_t i = 0; i < count && reader.ok(); ++i) {
      Kept kept{.sequence = reader.Take<uint64_t>(), .index = index, .stamp = 0, .result = {}};
      kept.stamp = base + reader.Take<uint32_t>();
      const auto kinds = reader.Take<uint8_t>();
      kept.result.kinds = kinds & (kKindsMax - 1);
      if (layout != kRowLayoutNoMarks) kept.result.mark = reader.Take<uint32_t>();
      kept.result.version = (kinds & kHasVersion) != 0 ? reader.Take<uint64_t>() : kept.stamp;
      kept.result.number = (kinds & kHasNumber) != 0 ? reader.Take<uint64_t>() : 0;
      session->stamp = std::max(session->stamp, kept.stamp);
      session->kept.push_back(kept);
      ++stored_rows_[index].stored;
    }
    // What the session lets go lies on in rows that hold others' results. Rows come in the order of
    // their entries, so not much of it is ever held here.
    while (!session->kept.empty() && session->kept.front().sequence < session->lowest_open) {
      session->kept.pop_front();
    }
  }
  return reader.ok() && reader.AtEnd() ? absl::OkStatus() : Damaged();
}

}  // namespace basalt::storage
