// usage: planted_race ordered|race
// What ThreadSanitizer must see and must not see around a gRPC operation. Both calls fail, for
// nobody listens on port 1; only who touches `touched` when differs.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "base/mutex.h"

namespace {

// Returns how often `touched` was written.
int Touch(bool race) {
  const auto channel = grpc::CreateChannel("127.0.0.1:1", grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  const grpc::Slice bytes("x");
  const grpc::ByteBuffer request(&bytes, 1);
  grpc::ByteBuffer response;
  basalt::base::Mutex mutex;
  basalt::base::CondVar changed;
  bool done = false;

  auto touched = std::make_unique<int>(0);
  ++*touched;
  stub.UnaryCall(&context, "/planted/Race", {}, &request, &response, [&](const grpc::Status&) {
    ++*touched;
    const basalt::base::MutexLock lock(mutex);
    done = true;
    changed.NotifyOne();
  });
  if (race) {
    ++*touched;
  }
  const basalt::base::MutexLock lock(mutex);
  while (!done) {
    changed.Wait(mutex);
  }
  return *touched;
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("%d\n", Touch(argc > 1 && std::strcmp(argv[1], "race") == 0));
  return 0;
}
