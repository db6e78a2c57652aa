// QueueTurn: a call back once gRPC has handled all that was ready for its callbacks before.
//
// What was read from a socket at once holds many messages, each of which is an event of its own. A
// stream that wants to answer them together asks for a turn, and sees then whether more of them
// came.
//
// A batch of no operations, of gRPC's C interface: it is complete at once, and its completion
// stands behind all others in the queue that the callback interface works off.
#pragma once

#include <grpc/grpc.h>

#include <functional>
#include <utility>

#include "base/check.h"

namespace basalt::server {

class QueueTurn : private grpc_completion_queue_functor {
 public:
  // `run` is called on gRPC's threads, once for each Ask.
  explicit QueueTurn(std::function<void()> run)
      : grpc_completion_queue_functor{&QueueTurn::Run, 0, 0, nullptr}, run_(std::move(run)) {}
  QueueTurn(const QueueTurn&) = delete;
  QueueTurn& operator=(const QueueTurn&) = delete;

  // One at a time. The call and this outlive it. Cheap on gRPC's own threads; another one wakes one
  // of them.
  void Ask(grpc_call* call) {
    const grpc_call_error error = ::grpc_call_start_batch(call, nullptr, 0, this, nullptr);
    BASALT_CHECK(error == GRPC_CALL_OK);
  }

 private:
  static void Run(grpc_completion_queue_functor* self, int /*ok*/) {
    static_cast<QueueTurn*>(self)->run_();
  }

  const std::function<void()> run_;
};

}  // namespace basalt::server
