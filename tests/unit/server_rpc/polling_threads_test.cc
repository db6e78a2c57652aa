// With real threads of gRPC's: how many of them are kept, and that the rest goes on answering.
#include "server/rpc/polling_threads.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "base/mutex.h"

namespace basalt::server {
namespace {

constexpr std::chrono::seconds kAtOnce{10};
constexpr std::chrono::milliseconds kNotYet{200};

class Event {
 public:
  void Set() {
    base::MutexLock lock(mutex_);
    set_ = true;
    changed_.NotifyAll();
  }
  bool Await(std::chrono::nanoseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    base::MutexLock lock(mutex_);
    while (!set_) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left.count() <= 0) return false;
      changed_.WaitFor(mutex_, left);
    }
    return true;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  bool set_ BASALT_GUARDED_BY(mutex_) = false;
};

// As any callback of gRPC's does, `work` needs a thread that polls.
void OnGrpcThread(std::function<void()> work) {
  struct Call {
    grpc::ClientContext context;
    grpc::Slice nothing;
    grpc::ByteBuffer request{&nothing, 1};
    grpc::ByteBuffer response;
  };
  // For as long as the process lives: gRPC may join its threads with the last channel.
  static auto* stub = new grpc::GenericStub(grpc::CreateCustomChannel("", nullptr, {}));
  auto call = std::make_shared<Call>();
  stub->UnaryCall(&call->context, "/none", {}, &call->request, &call->response,
                  [call, work = std::move(work)](const grpc::Status&) { work(); });
}

uint32_t Processors() { return static_cast<uint32_t>(::sysconf(_SC_NPROCESSORS_CONF)); }

// Callbacks that occupy the threads they run on.
class Occupied {
 public:
  explicit Occupied(uint32_t threads, bool say_so) {
    for (uint32_t i = 0; i < threads; ++i) {
      auto running = std::make_shared<Event>();
      OnGrpcThread([release = release_, running, say_so] {
        if (say_so) {
          const PollingThreads::Blocking blocking;
          running->Set();
          release->Await(kAtOnce);
        } else {
          running->Set();
          release->Await(kAtOnce);
        }
      });
      EXPECT_TRUE(running->Await(kAtOnce));
    }
  }
  ~Occupied() { release_->Set(); }

 private:
  std::shared_ptr<Event> release_ = std::make_shared<Event>();
};

std::shared_ptr<Event> Ask() {
  auto answered = std::make_shared<Event>();
  OnGrpcThread([answered] { answered->Set(); });
  return answered;
}

TEST(PollingThreadsTest, OneForEveryTwoProcessorsGoesOn) {
  EXPECT_EQ(PollingThreads::OfGrpc(1), 2u);
  EXPECT_EQ(PollingThreads::OfGrpc(2), 2u);
  EXPECT_EQ(PollingThreads::OfGrpc(7), 3u);
  EXPECT_EQ(PollingThreads::OfGrpc(64), 16u);
  for (int round = 0; round < 3; ++round) {
    const PollingThreads threads(0, Processors());
    const uint32_t fitting = std::max(1u, Processors() / 2);
    EXPECT_EQ(threads.kept(), PollingThreads::OfGrpc(Processors()) -
                                  std::min(fitting, PollingThreads::OfGrpc(Processors())));
    EXPECT_TRUE(Ask()->Await(kAtOnce));
  }
}

TEST(PollingThreadsTest, TheOneThatIsLeftAnswersNobodyWhileItBlocksInSilence) {
  const PollingThreads threads(1, Processors());
  ASSERT_EQ(threads.kept(), PollingThreads::OfGrpc(Processors()) - 1);
  std::shared_ptr<Event> answered;
  {
    const Occupied occupied(1, /*say_so=*/false);
    answered = Ask();
    EXPECT_FALSE(answered->Await(kNotYet));
  }
  EXPECT_TRUE(answered->Await(kAtOnce));
}

TEST(PollingThreadsTest, AnotherTakesThePlaceOfOneThatSaysThatItBlocks) {
  const PollingThreads threads(1, Processors());
  const uint32_t kept = threads.kept();
  for (int round = 0; round < 20; ++round) {
    const Occupied occupied(1, /*say_so=*/true);
    ASSERT_TRUE(Ask()->Await(kAtOnce)) << "round " << round;
  }
  // And goes back to its place.
  const auto until = std::chrono::steady_clock::now() + kAtOnce;
  while (threads.kept() != kept && std::chrono::steady_clock::now() < until) {
    EXPECT_TRUE(Ask()->Await(kAtOnce));
  }
  EXPECT_EQ(threads.kept(), kept);
}

TEST(PollingThreadsTest, ThreadsThatGrpcDoesNotHaveAreNotWaitedFor) {
  const PollingThreads threads(1, 64);  // of 16, which are more than most machines have
  EXPECT_EQ(threads.kept(), PollingThreads::OfGrpc(Processors()) == 16 ? 15u : 0u);
  EXPECT_TRUE(Ask()->Await(kAtOnce));
}

TEST(PollingThreadsTest, AllPollAgainAfterwards) {
  { const PollingThreads threads(1, Processors()); }
  const Occupied occupied(PollingThreads::OfGrpc(Processors()) - 1, /*say_so=*/false);
  EXPECT_TRUE(Ask()->Await(kAtOnce));
}

}  // namespace
}  // namespace basalt::server
