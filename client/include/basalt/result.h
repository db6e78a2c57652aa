// Result<T>: a value, or the status that says why there is none.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "basalt/status.h"

namespace basalt {

template <typename T>
class [[nodiscard]] Result {
 public:
  // Both from what a function returns: `return value;`, `return status;`.
  // NOLINTNEXTLINE(google-explicit-constructor): to be returned as it is; ends with std::expected
  Result(T value) : value_(std::move(value)) {}
  // `status` is not OK.
  // NOLINTNEXTLINE(google-explicit-constructor): to be returned as it is; ends with std::expected
  Result(Status status) : status_(std::move(status)) {}

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  // A caller's bug when not ok(): prints the status and aborts.
  T& value() & {
    RequireValue();
    return *value_;
  }
  const T& value() const& {
    RequireValue();
    return *value_;
  }
  T&& value() && {
    RequireValue();
    return std::move(*value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void RequireValue() const {
    if (value_.has_value()) return;
    std::fprintf(stderr, "basalt: value of a failed result used: %s\n", status_.ToString().c_str());
    std::abort();
  }

  std::optional<T> value_;
  Status status_;
};

}  // namespace basalt
