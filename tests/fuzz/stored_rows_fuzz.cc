// Rows of an engine: row keys, versions, the rows of the state.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "storage/applied_hash.h"
#include "storage/key_encoding.h"
#include "storage/memory_engine.h"
#include "storage/mvcc.h"
#include "storage/state_rows.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fuzz/fuzz_input.h"

namespace basalt::storage {
namespace {

using fuzz::FuzzInput;

// Few different bytes, so that keys are prefixes of each other and hold zeros.
std::string MakeKey(FuzzInput& input) {
  std::string key = input.Text(6);
  constexpr char kBytes[] = {'\x00', '\x01', '\xff', 'a'};
  for (char& byte : key) byte = kBytes[byte & 3];
  return key;
}

void TryRowKey(FuzzInput& input) {
  const std::string raw = input.Text(24);
  if (const auto decoded = DecodeRowKey(raw)) {
    BASALT_CHECK(EncodeRowKey(decoded->key, decoded->stamp) == raw);
    BASALT_CHECK(StampOf(raw) == decoded->stamp);
  }
  if (const auto key = DecodeStem(raw)) BASALT_CHECK(EncodeStem(*key) == raw);

  const std::string a = MakeKey(input);
  const std::string b = MakeKey(input);
  const uint64_t stamp = input.Number();
  const uint64_t other_stamp = input.Number();
  const auto decoded = DecodeRowKey(EncodeRowKey(a, stamp));
  BASALT_CHECK(decoded && decoded->key == a && decoded->stamp == stamp);
  const int order = EncodeRowKey(a, stamp).compare(EncodeRowKey(b, other_stamp));
  if (a != b) {
    BASALT_CHECK((order < 0) == (a < b));
    BASALT_CHECK(!EncodeStem(b).starts_with(EncodeStem(a)));
  } else {
    BASALT_CHECK((order < 0) == (stamp > other_stamp));
  }
}

HashSums SomeSums(FuzzInput& input) {
  HashSums sums{};
  for (uint64_t left = input.Below(4); left > 0; --left) {
    uint64_t& sum = sums[input.Below(sums.size())];
    sum = input.Number();
  }
  return sums;
}

void TryStateRows(FuzzInput& input) {
  AppliedRow row;
  row.base.index = raft::LogIndex(input.Number());
  row.base.term = raft::Term(input.Number());
  row.highest_stamp = input.Number();
  for (uint64_t left = input.Below(4); left > 0; --left) {
    row.base.configuration.members.push_back(
        {raft::ReplicaId(input.Number()), raft::NodeId(input.Number())});
  }
  const std::string bytes = EncodeAppliedRow(row);
  BASALT_CHECK(DecodeAppliedRow(bytes) == row);
  const std::string damaged = input.Damaged(bytes);
  if (const auto decoded = DecodeAppliedRow(damaged)) {
    BASALT_CHECK(EncodeAppliedRow(*decoded) == damaged);
  }

  const auto number = static_cast<uint32_t>(input.Below(65536));
  const HashSums sums = SomeSums(input);
  const auto hash = DecodeHashRow(HashRowKey(number), EncodeHashRow(sums));
  BASALT_CHECK(hash && hash->row == number && hash->sums == sums);
  const std::string key = input.Damaged(HashRowKey(number));
  const std::string value = input.Damaged(EncodeHashRow(sums));
  if (const auto decoded = DecodeHashRow(key, value)) {
    BASALT_CHECK(HashRowKey(decoded->row) == key && EncodeHashRow(decoded->sums) == value);
  }
}

// What versions an engine must show, beside the engine.
class Versions {
 public:
  explicit Versions(FuzzInput& input) : input_(input) {
    auto opened = MemoryEngine::Open(files_, "/engine", {});
    BASALT_CHECK(opened.ok());
    engine_ = *std::move(opened);
  }

  void Write() {
    Batch batch;
    const std::string key = MakeKey(input_);
    const uint64_t stamp = input_.Number();
    const bool is_value = input_.Flag();
    const std::string value = is_value ? input_.Text(4) : std::string();
    StageVersion(batch, key, stamp, is_value ? VersionKind::kValue : VersionKind::kTombstone,
                 value);
    engine_->Write(batch);
    model_[{key, ~stamp}] = {is_value, value};
  }

  void WriteDamage() {
    Batch batch;
    const std::string key = MakeKey(input_);
    std::string row_key = EncodeRowKey(key, input_.Number());
    if (input_.Flag()) row_key = input_.Damaged(std::move(row_key));
    batch.Put(Family::kData, row_key, input_.Text(3));
    engine_->Write(batch);
    damaged_ = true;
  }

  void Read() {
    const std::string key = MakeKey(input_);
    const uint64_t stamp = input_.Number();
    const auto version = ReadVersionAt(*engine_, key, stamp);
    const auto head = ReadNewestHead(*engine_, key);
    const auto newest = ReadNewestVersion(*engine_, key);
    if (damaged_) return;
    BASALT_CHECK(version.ok() && head.ok() && newest.ok());
    CheckAgainst(model_.lower_bound({key, ~stamp}), key, *version);
    CheckAgainst(model_.lower_bound({key, 0}), key, *newest);
    BASALT_CHECK(head->has_value() == newest->has_value());
    if (*head) BASALT_CHECK((*head)->stamp == (*newest)->stamp && (*head)->kind == (*newest)->kind);
  }

  void Walk() {
    const std::string from = MakeKey(input_);
    const std::string to = MakeKey(input_);
    VersionCursor cursor(engine_->NewIterator(Family::kData, nullptr), from, to);
    const bool keys_only = input_.Flag();
    auto expected = model_.lower_bound({from, 0});
    std::string last;
    for (bool first = true; keys_only ? cursor.NextKey() : cursor.Next(); first = false) {
      if (damaged_) continue;
      while (keys_only && !first && expected != model_.end() && expected->first.first == last) {
        ++expected;
      }
      BASALT_CHECK(expected != model_.end() && (to.empty() || expected->first.first < to));
      BASALT_CHECK(cursor.key() == expected->first.first);
      CheckEqual(*expected, cursor.stamp(), cursor.kind(), cursor.value());
      last = cursor.key();
      ++expected;
    }
    if (damaged_) return;
    BASALT_CHECK(cursor.status().ok());
    while (keys_only && expected != model_.end() && expected->first.first == last) ++expected;
    BASALT_CHECK(expected == model_.end() || (!to.empty() && expected->first.first >= to) ||
                 (!to.empty() && from >= to));
  }

 private:
  struct Value {
    bool is_value = false;
    std::string bytes;
  };
  // By key, then the newest first.
  using Model = std::map<std::pair<std::string, uint64_t>, Value>;

  static void CheckEqual(const Model::value_type& row, uint64_t stamp, VersionKind kind,
                         std::string_view value) {
    BASALT_CHECK(stamp == ~row.first.second);
    BASALT_CHECK((kind == VersionKind::kValue) == row.second.is_value);
    BASALT_CHECK(value == row.second.bytes);
  }

  void CheckAgainst(Model::const_iterator row, const std::string& key,
                    const std::optional<Version>& version) const {
    const bool exists = row != model_.end() && row->first.first == key;
    BASALT_CHECK(version.has_value() == exists);
    if (exists) CheckEqual(*row, version->stamp, version->kind, version->value);
  }

  FuzzInput& input_;
  testing::FakeFileSystem files_;
  std::unique_ptr<Engine> engine_;
  Model model_;
  bool damaged_ = false;
};

void TryVersions(FuzzInput& input) {
  Versions versions(input);
  const bool may_damage = input.Flag();
  while (!input.empty()) {
    switch (input.Below(6)) {
      case 0:
        versions.Read();
        break;
      case 1:
        versions.Walk();
        break;
      case 2:
        if (may_damage) versions.WriteDamage();
        break;
      default:
        versions.Write();
    }
  }
}

// The applied hash, through the rows in which it is kept.
void TryAppliedHash(FuzzInput& input) {
  testing::FakeFileSystem files;
  auto engine = MemoryEngine::Open(files, "/engine", {});
  BASALT_CHECK(engine.ok());
  AppliedHash hash;
  Batch batch;
  for (uint64_t left = input.Below(5); left > 0; --left) {
    const auto slot = static_cast<uint32_t>(input.Below(16384));
    hash.Add(slot, input.Text(8));
    hash.StageChanged(batch);
  }
  const bool damage = input.Flag();
  if (damage) {
    std::string key = HashRowKey(static_cast<uint32_t>(input.Below(16)));
    key = input.Damaged(std::move(key));
    batch.Put(Family::kState, key, input.Damaged(EncodeHashRow(SomeSums(input))));
  }
  (*engine)->Write(batch);
  AppliedHash loaded;
  const absl::Status status = loaded.Load(*(*engine)->NewIterator(Family::kState, nullptr));
  if (!damage) BASALT_CHECK(status.ok() && loaded.total() == hash.total());
}

void Fuzz(FuzzInput& input) {
  switch (input.Below(5)) {
    case 0:
      return TryRowKey(input);
    case 1:
      return TryStateRows(input);
    case 2:
      return TryAppliedHash(input);
    default:
      return TryVersions(input);
  }
}

}  // namespace
}  // namespace basalt::storage

void basalt::fuzz::FuzzOne(FuzzInput input) { storage::Fuzz(input); }
