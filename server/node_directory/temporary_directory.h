// TemporaryDirectory: a folder below $TMPDIR (or /tmp) that goes away with its owner (--dev).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace basalt::server {

class TemporaryDirectory {
 public:
  // "<base>/basalt-dev-XXXXXX", readable by this user only.
  static absl::StatusOr<std::unique_ptr<TemporaryDirectory>> Create();
  // Removes it with all that is in it; what cannot be removed is left in silence.
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path);

  const std::string path_;
};

}  // namespace basalt::server
