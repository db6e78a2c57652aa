// What an engine should hold, as plain maps: the model of the suites that every engine must pass.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/random.h"
#include "storage/engine.h"
#include "storage/key_encoding.h"

namespace basalt::testing {

using Rows = std::map<std::string, std::string>;
struct Contents {
  Rows& of(storage::Family family) { return families[static_cast<size_t>(family)]; }
  const Rows& of(storage::Family family) const { return families[static_cast<size_t>(family)]; }

  std::array<Rows, storage::kFamilyCount> families;
};

inline Rows ReadAll(storage::Engine& engine, storage::Family family,
                    const storage::EngineSnapshot* snapshot = nullptr) {
  Rows rows;
  const auto iterator = engine.NewIterator(family, snapshot);
  for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
    rows.emplace(iterator->key(), iterator->value());
  }
  EXPECT_TRUE(iterator->status().ok());
  return rows;
}

inline void ExpectHolds(storage::Engine& engine, const Contents& contents,
                        const storage::EngineSnapshot* snapshot = nullptr) {
  for (const storage::Family family : {storage::Family::kData, storage::Family::kState}) {
    ASSERT_EQ(ReadAll(engine, family, snapshot), contents.of(family));
  }
}

inline constexpr uint64_t kModelNames = 12;
inline constexpr uint64_t kModelStamps = 3;

inline std::string ModelName(uint64_t at) { return std::string(1, static_cast<char>('a' + at)); }

inline std::string RandomRow(base::Random& random, storage::Family family) {
  std::string name = ModelName(random.Below(kModelNames));
  if (family == storage::Family::kState) return name;
  return storage::EncodeRowKey(name, random.Below(kModelStamps));
}

// A row of kData in the manner of the state machine, whose stamps only rise: the `at`-th of batch
// `number`. Above those of RandomRow.
inline std::string RisingRow(base::Random& random, uint64_t number, uint64_t at) {
  const std::string name = ModelName(random.Below(kModelNames));
  return storage::EncodeRowKey(name, kModelStamps + number * 8 + at);
}

// Up to seven puts and deletes in both families, and the batch's number, so that a crash tells what
// it left; `contents` become what they are after it. Two of three batches have rising stamps and
// delete nothing of kData.
inline void FillRandomBatch(base::Random& random, uint64_t number, size_t value_bytes_max,
                            Contents& contents, storage::Batch& batch) {
  using storage::Family;
  const bool rising = !random.OneIn(3);
  for (uint64_t rows = random.Below(8); rows > 0; --rows) {
    const Family family = random.OneIn(3) ? Family::kState : Family::kData;
    const bool rises = rising && family == Family::kData;
    const std::string key = rises ? RisingRow(random, number, 8 - rows) : RandomRow(random, family);
    if (!rises && random.OneIn(3)) {
      batch.Delete(family, key);
      contents.of(family).erase(key);
    } else {
      const size_t bytes = random.Below(value_bytes_max);
      const std::string value(bytes, static_cast<char>('a' + random.Below(26)));
      batch.Put(family, key, value);
      contents.of(family)[key] = value;
    }
  }
  batch.Put(Family::kState, "number", std::to_string(number));
  contents.of(Family::kState)["number"] = std::to_string(number);
}

// Of the last batch that is there; 0: none is.
inline uint64_t NumberIn(const std::optional<std::string>& row) {
  return row ? std::stoull(*row) : 0;
}

}  // namespace basalt::testing
