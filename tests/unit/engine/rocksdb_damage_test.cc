// Bits flipped at rest in each file of a RocksDB store: reported, or without effect; never served
// as something else, never a crash.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "storage/key_encoding.h"
#include "tests/unit/engine/engine_kinds.h"

namespace basalt::storage {
namespace {

using testing::EngineBench;
using testing::EngineKind;

namespace fs = std::filesystem;

enum class Found { kSound, kReported, kOlder, kWrong };

class RocksDbDamage : public ::testing::Test {
 protected:
  static constexpr uint64_t kRows = 400;

  RocksDbDamage() {
    const auto engine = *bench_.factory().Open(bench_.Path("db"));
    base::Random random(1);
    for (uint64_t i = 0; i < kRows; ++i) {
      Batch batch;
      const std::string key = EncodeRowKey("key" + std::to_string(i), i + 1);
      std::string value(40, '\0');
      for (char& c : value) c = static_cast<char>(random.Next());
      batch.Put(Family::kData, key, value);
      batch.Put(Family::kState, "row", std::to_string(i + 1));
      rows_[key] = value;
      engine->Write(batch);
    }
    engine->Flush();
  }

  // The store's files that hold data or say what counts.
  std::vector<std::string> Files(std::string_view beginning, std::string_view end) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(bench_.Path("db"))) {
      const std::string name = entry.path().filename();
      if (name.starts_with(beginning) && name.ends_with(end)) names.push_back(name);
    }
    return names;
  }

  // What a start on a copy with one changed byte finds.
  Found FlipAndOpen(const std::string& name, uint64_t offset, uint8_t mask) {
    const std::string copy = bench_.Path("copy");
    fs::remove_all(copy);
    fs::copy(bench_.Path("db"), copy);
    {
      std::fstream file(copy + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(static_cast<std::streamoff>(offset));
      const int byte = file.get();
      file.seekp(static_cast<std::streamoff>(offset));
      file.put(static_cast<char>(byte ^ mask));
    }
    auto engine = bench_.factory().Open(copy);
    if (!engine.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(engine.status())) << engine.status();
      return Found::kReported;
    }
    return Compare(**engine);
  }

  Found Compare(Engine& engine) {
    std::map<std::string, std::string> found;
    const auto iterator = engine.NewIterator(Family::kData, nullptr);
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
      found.emplace(iterator->key(), iterator->value());
    }
    const auto state = engine.Get(Family::kState, "row");
    if (!iterator->status().ok() || !state.ok()) return Found::kReported;
    for (const auto& [key, value] : found) {
      const auto expected = rows_.find(key);
      if (expected == rows_.end() || expected->second != value) return Found::kWrong;
    }
    // All families are of one moment, or it is not a state that ever was.
    const uint64_t number = *state ? std::stoull(**state) : 0;
    if (found.size() != number) return Found::kWrong;
    return number == kRows ? Found::kSound : Found::kOlder;
  }

  EngineBench bench_{EngineKind::kRocksDb};
  std::map<std::string, std::string> rows_;
};

TEST_F(RocksDbDamage, IsReportedOrWithoutEffect) {
  base::Random random(2);
  std::map<Found, int> seen;
  for (const auto& [beginning, end] : {std::pair{"", ".sst"}, {"MANIFEST", ""}, {"CURRENT", ""}}) {
    const std::vector<std::string> names = Files(beginning, end);
    ASSERT_FALSE(names.empty()) << beginning << end;
    for (const std::string& name : names) {
      const uint64_t size = fs::file_size(bench_.Path("db") + "/" + name);
      for (int i = 0; i < 25; ++i) {
        const uint64_t offset = random.Below(size);
        const auto mask = static_cast<uint8_t>(1u << random.Below(8));
        const Found found = FlipAndOpen(name, offset, mask);
        ++seen[found];
        EXPECT_NE(found, Found::kWrong) << name << " at " << offset << " mask " << int{mask};
        // An older state, whole: the node notices that its log begins behind it.
        if (found == Found::kOlder) {
          EXPECT_TRUE(name.starts_with("MANIFEST")) << name;
        }
      }
    }
  }
  EXPECT_GT(seen[Found::kReported], 30);
}

// Else a follower would give sound rows away for rotten ones.
TEST_F(RocksDbDamage, OfACheckpointIsFoundBeforeItIsSent) {
  const auto nobody_stops = [] { return false; };
  EXPECT_TRUE(bench_.factory().VerifyCheckpoint(bench_.Path("db"), nobody_stops).ok());
  EXPECT_TRUE(absl::IsUnavailable(
      bench_.factory().VerifyCheckpoint(bench_.Path("db"), [] { return true; })));
  base::Random random(3);
  int found = 0;
  int tried = 0;
  for (const std::string& name : Files("", ".sst")) {
    const uint64_t size = fs::file_size(bench_.Path("db") + "/" + name);
    for (int i = 0; i < 40; ++i) {
      const uint64_t offset = random.Below(size);
      const Found opened = FlipAndOpen(name, offset, static_cast<uint8_t>(1u << random.Below(8)));
      const absl::Status verified =
          bench_.factory().VerifyCheckpoint(bench_.Path("copy"), nobody_stops);
      EXPECT_TRUE(verified.ok() || absl::IsDataLoss(verified)) << verified;
      // What it passes, of padding say, reads as it was written.
      EXPECT_TRUE(!verified.ok() || opened == Found::kSound) << name << " at " << offset;
      found += verified.ok() ? 0 : 1;
      ++tried;
    }
  }
  EXPECT_GT(found, tried * 9 / 10);
}

TEST_F(RocksDbDamage, AMissingFileIsReported) {
  for (const std::string& name : Files("", "")) {
    const bool counts = name.ends_with(".sst") || name.starts_with("MANIFEST") || name == "CURRENT";
    if (!counts) continue;
    const std::string copy = bench_.Path("copy");
    fs::remove_all(copy);
    fs::copy(bench_.Path("db"), copy);
    fs::remove(fs::path(copy) / name);
    EXPECT_TRUE(absl::IsDataLoss(bench_.factory().Open(copy).status())) << name;
  }
}

}  // namespace
}  // namespace basalt::storage
