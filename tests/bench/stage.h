// Stage: one step on the way of a put or a get, alone and on one thread, over inputs of a fixed
// seed: what basalt_stage_bench measures, and what scripts/stage_costs counts.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"

#include "base/check.h"

namespace basalt::bench {

// What a client stream carries in one message and a leader puts into one entry, in every stage.
inline constexpr size_t kBatch = 16;

inline void CheckOk(const absl::Status& status) {
  BASALT_CHECK_MSG(status.ok(), std::string(status.message()));
}

class Stage {
 public:
  virtual ~Stage() = default;
  // Makes what the next Run consumes. Neither timed nor counted.
  virtual void Prepare() {}
  // Carries kBatch operations through the stage.
  virtual void Run() = 0;
};

struct StageKind {
  std::string_view name;
  // `directory` is empty, on a disk, and the stage's own.
  std::unique_ptr<Stage> (*make)(const std::string& directory);
};

template <typename T>
std::unique_ptr<Stage> MakeStage(const std::string& directory) {
  if constexpr (std::is_constructible_v<T, const std::string&>) {
    return std::make_unique<T>(directory);
  } else {
    return std::make_unique<T>();
  }
}

std::vector<StageKind> MessageStages();
std::vector<StageKind> RoutingStages();
std::vector<StageKind> RaftStages();
std::vector<StageKind> ShardStages();

}  // namespace basalt::bench
