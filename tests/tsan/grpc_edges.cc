// Linked into every test of the tsan preset: shows ThreadSanitizer how gRPC orders threads.
//
// gRPC hands operations between threads with atomics and futexes inside its own, uninstrumented,
// library. Without them TSan calls everything that travels with an operation a race, and a
// suppression wide enough to silence that would hide real ones. So the few functions of libgrpc
// that bound an operation are interposed here, each with the edge that it really makes: what
// happened before an operation was started happened before its completion, call by call; what
// happened before a server started happened before its first call.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

namespace {

char server_started;  // its address stands for all servers of the process

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

void Acquire(void* call) {
  __tsan_acquire(&server_started);
  __tsan_acquire(call);
}

}  // namespace

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count, void* tag,
                                      void* reserved) {
  static auto* const next = Next<decltype(grpc_call_start_batch)>("grpc_call_start_batch");
  __tsan_release(call);
  return next(call, ops, count, tag, reserved);
}

// Called by gRPC's headers when an operation is complete, before any callback of ours, and again
// when a call's last callback has returned.
void grpc_call_unref(grpc_call* call) {
  static auto* const next = Next<decltype(grpc_call_unref)>("grpc_call_unref");
  Acquire(call);
  __tsan_release(call);
  next(call);
}

void grpc_call_ref(grpc_call* call) {
  static auto* const next = Next<decltype(grpc_call_ref)>("grpc_call_ref");
  Acquire(call);
  next(call);
}

// Called when a server accepts a call, before the service's method.
void* grpc_call_arena_alloc(grpc_call* call, size_t size) {
  static auto* const next = Next<decltype(grpc_call_arena_alloc)>("grpc_call_arena_alloc");
  Acquire(call);
  return next(call, size);
}

void grpc_server_start(grpc_server* server) {
  static auto* const next = Next<decltype(grpc_server_start)>("grpc_server_start");
  __tsan_release(&server_started);
  next(server);
}

}  // extern "C"
