// One call over a client of its own, with where its time went. For kvctl and tests; not part of the
// public library. Blocks.
#pragma once

#include "client/call.h"

namespace basalt::client {

// A client that has the cluster's map and no link to any node yet.
class Explainer {
 public:
  static Result<Explainer> Connect(ClientOptions options);
  Explainer(Explainer&&) noexcept;
  Explainer& operator=(Explainer&&) noexcept;
  ~Explainer();

  // The result has a story, unless nothing was started.
  CallResult Run(Operation operation);

 private:
  explicit Explainer(std::unique_ptr<CallDriver> driver);

  std::unique_ptr<CallDriver> driver_;
};

}  // namespace basalt::client
