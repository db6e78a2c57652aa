// A replica's directory: its REPLICA file, the swap of its engines, crashes at any operation.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "base/status.h"
#include "storage/crc32c.h"
#include "storage/memory_engine.h"
#include "storage/replica_store.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fuzz/fuzz_input.h"

namespace basalt::storage {
namespace {

using fuzz::FuzzInput;

constexpr char kDirectory[] = "/shards/1-1";
constexpr char kPointer[] = "/shards/1-1/REPLICA";
constexpr char kStaged[] = "/incoming";
constexpr char kMade[] = "/outgoing";

AppliedRow RowAt(uint64_t index) {
  AppliedRow row;
  row.base.index = raft::LogIndex(index);
  row.base.term = raft::Term(1);
  row.highest_stamp = index;
  row.base.configuration.members.push_back({raft::ReplicaId(1), raft::NodeId(1)});
  return row;
}

class Replica {
 public:
  explicit Replica(FuzzInput& input) : input_(input) {
    BASALT_CHECK(files_.CreateDirectory("/shards").ok() && files_.SyncDirectory("/").ok());
    Batch rows;
    BASALT_CHECK(ReplicaStore::Create(ports_, kDirectory, RowAt(0), std::move(rows)).ok());
    BASALT_CHECK(ReplicaStore::Create(ports_, kDirectory, RowAt(0), Batch()).code() ==
                 absl::StatusCode::kAlreadyExists);
    Open();
  }

  void Live() {
    for (int turns = 0; turns < 40 && !input_.empty(); ++turns) {
      switch (input_.Below(7)) {
        case 0:
          store_->Flush();
          flushed_ = index_;
          TakeCheckpoint();
          break;
        case 1:
          Install();
          break;
        case 2:
          Crash();
          break;
        case 3:
          BASALT_CHECK(store_->flushed().value() <= index_);
          BASALT_CHECK(store_->flushed().value() >= flushed_);
          BASALT_CHECK(store_->standing().applied.value() == index_);
          store_->RemoveRetired();
          break;
        default: {
          Batch batch;
          batch.Put(Family::kData, "row", std::to_string(++index_));
          store_->Commit(batch, RowAt(index_));
        }
      }
    }
  }

  // Whatever stands in REPLICA is refused, or names an engine as this release would.
  void Damage() {
    store_.reset();
    std::string text = files_.Contents(kPointer);
    if (input_.Flag()) {
      text = input_.Damaged(std::move(text));
    } else {
      text = Forged();
    }
    auto file = files_.Open(kPointer, FileSystem::OpenMode::kReadWrite);
    BASALT_CHECK(file.ok() && (*file)->Truncate(0).ok() && (*file)->WriteAt(0, text).ok());
    auto opened = ReplicaStore::Open(ports_, kDirectory);
    if (opened.ok()) {
      BASALT_CHECK(Intact(text));
      return;
    }
    const std::string message = base::Message(opened.status());
    if (opened.status().code() == absl::StatusCode::kFailedPrecondition) {
      BASALT_CHECK(message.find("newer release") != std::string::npos);
    } else {
      BASALT_CHECK(opened.status().code() == absl::StatusCode::kDataLoss);
      // A pointer that names no engine is an empty engine without its row.
      if (!Intact(text)) BASALT_CHECK(message.find(kPointer) != std::string::npos);
    }
  }

 private:
  void Open() {
    auto opened = ReplicaStore::Open(ports_, kDirectory);
    BASALT_CHECK_MSG(opened.ok(), base::Message(opened.status()));
    store_ = *std::move(opened);
  }

  void TakeCheckpoint() {
    if (*files_.Exists(kMade)) BASALT_CHECK(files_.RemoveTree(kMade).ok());
    const auto made = store_->CreateCheckpoint(kMade);
    BASALT_CHECK(made.ok() && *made == RowAt(index_).base);
  }

  void Install() {
    const bool refuse = input_.OneIn(4);
    const uint64_t index = index_ + input_.Below(4);
    if (*files_.Exists(kStaged)) BASALT_CHECK(files_.RemoveTree(kStaged).ok());
    MakeCheckpoint(index);
    const absl::Status installed = store_->Install(kStaged, [&](Engine&) {
      return refuse ? base::FailedPrecondition("not mine") : absl::OkStatus();
    });
    BASALT_CHECK(installed.ok() == !refuse);
    BASALT_CHECK(!*files_.Exists(kStaged));
    if (!refuse) index_ = flushed_ = index;
    BASALT_CHECK(store_->applied() == RowAt(index_));
  }

  void MakeCheckpoint(uint64_t index) {
    auto engine = engines_.Open("/other");
    BASALT_CHECK(engine.ok());
    Batch rows;
    rows.Put(Family::kState, kAppliedRow, EncodeAppliedRow(RowAt(index)));
    rows.Put(Family::kData, "row", std::to_string(index));
    (*engine)->Write(rows);
    BASALT_CHECK((*engine)->CreateCheckpoint(kStaged).ok());
  }

  // At rest: what was flushed is there, and nothing but what was written.
  void Crash() {
    store_.reset();
    if (input_.Flag()) {
      base::Random random(input_.U8());
      files_.CutPower(random);
    } else {
      files_.Kill();
    }
    Open();
    const uint64_t index = store_->applied().base.index.value();
    BASALT_CHECK(index >= flushed_ && index <= index_);
    BASALT_CHECK(store_->applied() == RowAt(index));
    const auto row = store_->engine()->Get(Family::kData, "row");
    BASALT_CHECK(row.ok() && (index == 0 || *row == std::to_string(index)));
    index_ = flushed_ = index;
  }

  std::string Forged() {
    const uint64_t format = input_.OneIn(3) ? input_.Number() : 1;
    std::string body =
        fmt::format("basalt replica\nformat {}\nengine db-{}\n", format, input_.Number());
    if (input_.OneIn(3)) body = input_.Damaged(std::move(body));
    return fmt::format("{}crc32c {:08x}\n", body, Crc32c(body));
  }

  // As docs/formats.md has it.
  static bool Intact(const std::string& text) {
    constexpr std::string_view kHead = "basalt replica\nformat 1\nengine db-";
    const size_t end = text.find('\n', kHead.size());
    if (!text.starts_with(kHead) || end == std::string::npos || end == kHead.size()) return false;
    if (text.find_first_not_of("0123456789", kHead.size()) != end) return false;
    const std::string body = text.substr(0, end + 1);
    return text == fmt::format("{}crc32c {:08x}\n", body, Crc32c(body));
  }

  FuzzInput& input_;
  testing::FakeFileSystem files_;
  MemoryEngineFactory engines_{files_, {}};
  const ReplicaStore::Ports ports_{files_, engines_};
  std::unique_ptr<ReplicaStore> store_;
  uint64_t index_ = 0;    // applied
  uint64_t flushed_ = 0;  // a crash keeps at least this
};

void Fuzz(FuzzInput& input) {
  Replica replica(input);
  replica.Live();
  if (input.Flag()) replica.Damage();
}

}  // namespace
}  // namespace basalt::storage

void basalt::fuzz::FuzzOne(FuzzInput input) { storage::Fuzz(input); }
