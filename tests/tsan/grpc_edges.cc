// Linked into every program of the tsan preset: shows ThreadSanitizer how gRPC orders threads.
//
// gRPC hands operations between threads with atomics and futexes inside its own, uninstrumented,
// library. Without them TSan calls everything that travels with an operation a race, and a
// suppression wide enough to silence that would hide real ones. So the functions of libgrpc and
// libgrpc++ that hand something over are interposed here, each with the edge that it really makes:
// what happened before an operation was started happened before its completion, operation by
// operation; what happened before something was given to gRPC's own threads (OnDone, OnCancel)
// happened before they ran it; what happened before a server started happened before each of its
// calls, and all callbacks before the end of a server.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <utility>

// Names of C++ functions as the libraries of Debian 12 export them.
#define BASALT_EXECUTOR_RUN                                             \
  "_ZN9grpc_core8Executor3RunEP12grpc_closureN4absl7debian36StatusENS_" \
  "12ExecutorTypeENS_15ExecutorJobTypeE"
#define BASALT_CALL_ON_CANCEL \
  "_ZN4grpc8internal18ServerCallbackCall12CallOnCancelEPNS0_13ServerReactorE"
#define BASALT_SCHEDULE_ON_DONE "_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb"

// The program's own code; set by the linker.
extern "C" const char __executable_start;
extern "C" const char etext;

namespace {

using Functor = grpc_completion_queue_functor;
using Run = void (*)(Functor*, int);

// The beginning of gRPC 1.51's grpc_closure. The error is passed on as it comes.
struct Closure {
  void* next;
  void (*run)(void* argument, void* error);
  void* argument;
};
using RunClosure = void (*)(void*, void*);

// The beginning of gRPC 1.51's grpc::internal::ServerCallbackCall: what counts down to OnCancel()
// and to OnDone(). The instrumented code of its headers releases these; the library does not
// acquire.
struct CallbackCall {
  const void* vtable;
  std::atomic_int cancel_conditions_remaining;
  std::atomic_int callbacks_outstanding;
};

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

// As for completions. Should there be more kinds than slots, the rest has no edge.
constexpr size_t kClosuresMax = 32;
std::array<std::atomic<RunClosure>, kClosuresMax> closures;

template <size_t kSlot>
void AcquireAndRunClosure(void* argument, void* error) {
  __tsan_acquire(argument);
  closures[kSlot].load(std::memory_order_relaxed)(argument, error);
  __tsan_release(&callback_returned);
}

template <size_t... kSlots>
constexpr std::array<RunClosure, kClosuresMax> MakeClosureTwins(std::index_sequence<kSlots...>) {
  return {AcquireAndRunClosure<kSlots>...};
}
constexpr std::array<RunClosure, kClosuresMax> kClosureTwins =
    MakeClosureTwins(std::make_index_sequence<kClosuresMax>());

RunClosure TwinOf(RunClosure run) {
  for (size_t slot = 0; slot < kClosuresMax; ++slot) {
    if (run == kClosureTwins[slot]) return run;
    RunClosure known = nullptr;
    if (closures[slot].compare_exchange_strong(known, run) || known == run) {
      return kClosureTwins[slot];
    }
  }
  return run;
}

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

// grpc_core::Executor::Run(grpc_closure*, absl::Status, ExecutorType, ExecutorJobType)
void RunOnExecutor(Closure* closure, void* error, int executor, int job) asm(BASALT_EXECUTOR_RUN);
// The closure is gRPC's own memory: writes to it are none of ours.
__attribute__((no_sanitize("thread"))) void RunOnExecutor(Closure* closure, void* error,
                                                          int executor, int job) {
  static auto* const next = Next<decltype(RunOnExecutor)>(BASALT_EXECUTOR_RUN);
  closure->run = TwinOf(closure->run);
  __tsan_release(closure->argument);
  next(closure, error, executor, job);
}

// grpc::internal::ServerCallbackCall::CallOnCancel(ServerReactor*)
void CallOnCancel(CallbackCall* call, void* reactor) asm(BASALT_CALL_ON_CANCEL);
void CallOnCancel(CallbackCall* call, void* reactor) {
  static auto* const next = Next<decltype(CallOnCancel)>(BASALT_CALL_ON_CANCEL);
  __tsan_acquire(&call->cancel_conditions_remaining);
  next(call, reactor);
}

// grpc::internal::ServerCallbackCall::ScheduleOnDone(bool)
void ScheduleOnDone(CallbackCall* call, bool inline_on_done) asm(BASALT_SCHEDULE_ON_DONE);
void ScheduleOnDone(CallbackCall* call, bool inline_on_done) {
  static auto* const next = Next<decltype(ScheduleOnDone)>(BASALT_SCHEDULE_ON_DONE);
  __tsan_acquire(&call->callbacks_outstanding);
  next(call, inline_on_done);
}

void grpc_server_destroy(grpc_server* server) {
  static auto* const next = Next<decltype(grpc_server_destroy)>("grpc_server_destroy");
  next(server);
  __tsan_acquire(&callback_returned);
}

}  // extern "C"
