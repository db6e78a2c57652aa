// Linked into every program of the tsan preset: shows ThreadSanitizer how gRPC orders threads.
//
// gRPC hands operations between threads with atomics and futexes inside its own, uninstrumented,
// library. Without them TSan calls everything that travels with an operation a race, and a
// suppression wide enough to silence that would hide real ones. So the functions of libgrpc that
// bound an operation are interposed here, each with the edge that it really makes: what happened
// before an operation was started happened before its completion, operation by operation; what
// happened before a server started happened before each of its calls, and all callbacks before the
// end of a server.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <utility>

// The program's own code; set by the linker.
extern "C" const char __executable_start;
extern "C" const char etext;

namespace {

using Functor = grpc_completion_queue_functor;
using Run = void (*)(Functor*, int);

// Their addresses stand for all servers of the process.
char server_started;
char callback_returned;

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// gRPC's headers know a few completion functions; each gets a twin here that first takes the edge.
constexpr size_t kRunsMax = 8;
std::array<std::atomic<Run>, kRunsMax> runs;

template <size_t kSlot>
void AcquireAndRun(Functor* functor, int ok) {
  __tsan_acquire(functor);
  runs[kSlot].load(std::memory_order_relaxed)(functor, ok);
  __tsan_release(&callback_returned);
}

template <size_t... kSlots>
constexpr std::array<Run, kRunsMax> MakeTwins(std::index_sequence<kSlots...>) {
  return {AcquireAndRun<kSlots>...};
}
constexpr std::array<Run, kRunsMax> kTwins = MakeTwins(std::make_index_sequence<kRunsMax>());

// Only a callback's tag begins with a function of this program; others begin with a vtable.
bool IsCallback(const Functor* tag) {
  const char* const run = reinterpret_cast<const char*>(tag->functor_run);
  return run >= &__executable_start && run < &etext;
}

Run TwinOf(Run run) {
  for (size_t slot = 0; slot < kRunsMax; ++slot) {
    if (run == kTwins[slot]) {
      return run;
    }
    Run known = nullptr;
    if (runs[slot].compare_exchange_strong(known, run) || known == run) {
      return kTwins[slot];
    }
  }
  std::abort();
}

}  // namespace

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count, void* tag,
                                      void* reserved) {
  static auto* const next = Next<decltype(grpc_call_start_batch)>("grpc_call_start_batch");
  if (tag != nullptr && IsCallback(static_cast<Functor*>(tag))) {
    auto* const functor = static_cast<Functor*>(tag);
    functor->functor_run = TwinOf(functor->functor_run);
    __tsan_release(functor);
  }
  return next(call, ops, count, tag, reserved);
}

// Called when a server accepts a call, before the service's method.
void* grpc_call_arena_alloc(grpc_call* call, size_t size) {
  static auto* const next = Next<decltype(grpc_call_arena_alloc)>("grpc_call_arena_alloc");
  __tsan_acquire(&server_started);
  return next(call, size);
}

void grpc_server_start(grpc_server* server) {
  static auto* const next = Next<decltype(grpc_server_start)>("grpc_server_start");
  __tsan_release(&server_started);
  next(server);
}

void grpc_server_destroy(grpc_server* server) {
  static auto* const next = Next<decltype(grpc_server_destroy)>("grpc_server_destroy");
  next(server);
  __tsan_acquire(&callback_returned);
}

}  // extern "C"
