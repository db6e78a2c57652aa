// Progress of a long verb on standard error: a bar that moves on a terminal, a line every few
// seconds otherwise. Used by one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace basalt::kvctl {

class Progress {
 public:
  // `bytes_total` 0: not known.
  Progress(std::string verb, uint64_t bytes_total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Shows something when it is time to; cheap otherwise.
  void Update(uint64_t rows, uint64_t bytes);
  // Clears the bar, so that other lines can follow.
  void Clear();
  std::chrono::milliseconds elapsed() const;

 private:
  std::string Line(uint64_t rows, uint64_t bytes) const;

  const std::string verb_;
  const uint64_t bytes_total_;
  const bool on_terminal_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point next_;
  bool shown_ = false;
};

}  // namespace basalt::kvctl
