// A client's stream and calls over real gRPC: what travels together, and how both end. The node
// belongs to no cluster, so that every request is answered as it is read.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/mutex.h"
#include "server/clock/clock.h"
#include "server/rpc/kv_service.h"
#include "tests/unit/server_rpc/local_server.h"
#include "tests/unit/server_rpc/within.h"

namespace basalt::server {
namespace {

using testing::LocalServer;
using testing::Within;

// Holds what it is handed while it is closed.
class Gate {
 public:
  void Close() {
    base::MutexLock lock(mutex_);
    closed_ = true;
  }
  void Open() {
    base::MutexLock lock(mutex_);
    closed_ = false;
    opened_.NotifyAll();
  }
  void Pass() {
    base::MutexLock lock(mutex_);
    ++waiting_;
    while (closed_) opened_.Wait(mutex_);
    --waiting_;
  }
  int waiting() {
    base::MutexLock lock(mutex_);
    return waiting_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar opened_;
  bool closed_ BASALT_GUARDED_BY(mutex_) = false;
  int waiting_ BASALT_GUARDED_BY(mutex_) = 0;
};

// A clock that a test can hold: Dispatch reads it on the thread that handles a message.
class HeldClock final : public Clock {
 public:
  explicit HeldClock(Gate& gate) : gate_(gate) {}
  MonotonicTime Now() const override {
    gate_.Pass();
    return real_.Now();
  }
  uint64_t WallMilliseconds() const override { return real_.WallMilliseconds(); }

 private:
  Gate& gate_;
  SystemClock real_;
};

class NoInbox final : public GroupInbox {
 public:
  void Put(GroupEvent) override { ADD_FAILURE() << "a node without a cluster has no groups"; }
};

class KvStreamTest : public ::testing::Test {
 protected:
  KvStreamTest()
      : stub_(v1::Kv::NewStub(
            grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials()))) {
    dispatch_.SetFormed(false);
  }
  ~KvStreamTest() override {
    gate_.Open();
    server_.Stop();
  }

  static v1::RequestBatch Batch(uint64_t id) {
    v1::RequestBatch batch;
    v1::Request* request = batch.add_requests();
    request->set_id(id);
    request->mutable_get()->set_key("key");
    return batch;
  }

  Gate gate_;
  HeldClock clock_{gate_};
  ClusterView view_;
  NoInbox inbox_;
  RequestBudget budget_{100u << 20};
  LeaseReads lease_reads_;
  Dispatch dispatch_{{}, {view_, inbox_, budget_, clock_, lease_reads_}};
  SystemClock system_clock_;
  KnownTime time_{system_clock_};
  KvService service_{dispatch_, view_, time_};
  LocalServer server_{service_};
  std::unique_ptr<v1::Kv::Stub> stub_;
};

TEST_F(KvStreamTest, AnswersToWhatIsReadyTravelTogether) {
  constexpr uint64_t kMessages = 400;
  grpc::ClientContext context;
  const auto stream = stub_->Stream(&context);
  v1::ResponseBatch answers;
  ASSERT_TRUE(stream->Write(Batch(1)));
  ASSERT_TRUE(stream->Read(&answers));
  gate_.Close();  // the next one is held in its handling, the others gather behind it
  for (uint64_t id = 2; id <= kMessages; ++id) ASSERT_TRUE(stream->Write(Batch(id)));
  ASSERT_TRUE(Within(std::chrono::seconds(20), [this] { return gate_.waiting() > 0; }));
  gate_.Open();
  uint64_t messages = 0;
  uint64_t next = 2;
  while (next <= kMessages) {
    ASSERT_TRUE(stream->Read(&answers));
    ++messages;
    for (const v1::Response& answer : answers.responses()) {
      ASSERT_EQ(answer.id(), next++);
      ASSERT_EQ(answer.code(), v1::CODE_NOT_FORMED);
    }
  }
  EXPECT_EQ(next, kMessages + 1);
  EXPECT_LT(messages, kMessages / 2);  // gRPC takes them off the socket in several pieces
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&answers));
  EXPECT_TRUE(stream->Finish().ok());
}

// What a client does not read counts for as long as it lies here.
TEST_F(KvStreamTest, UnreadAnswersAreHeldAndGivenBack) {
  {
    grpc::ClientContext context;
    const auto stream = stub_->Stream(&context);
    // More than gRPC's windows and the message under way take of small answers.
    uint64_t id = 0;
    EXPECT_TRUE(Within(std::chrono::seconds(20), [&] {
      v1::RequestBatch batch;
      for (int i = 0; i < 5'000; ++i) *batch.add_requests() = Batch(++id).requests(0);
      stream->Write(batch);
      return budget_.bytes() > 0;
    }));
    context.TryCancel();
    EXPECT_FALSE(stream->Finish().ok());
  }
  EXPECT_TRUE(Within(std::chrono::seconds(20), [this] { return budget_.bytes() == 0; }));
}

TEST_F(KvStreamTest, ALoneRequestIsAnswered) {
  grpc::ClientContext context;
  const auto stream = stub_->Stream(&context);
  for (uint64_t id = 1; id <= 200; ++id) {
    v1::ResponseBatch answers;
    ASSERT_TRUE(stream->Write(Batch(id)));
    ASSERT_TRUE(stream->Read(&answers));
    ASSERT_EQ(answers.responses_size(), 1);
    EXPECT_EQ(answers.responses(0).id(), id);
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

// The last requests and the end of the stream are ready at once.
TEST_F(KvStreamTest, TheEndWaitsForAllAnswers) {
  for (uint64_t round = 0; round < 100; ++round) {
    grpc::ClientContext context;
    const auto stream = stub_->Stream(&context);
    const uint64_t messages = round % 5;
    for (uint64_t id = 1; id <= messages; ++id) ASSERT_TRUE(stream->Write(Batch(id)));
    stream->WritesDone();
    uint64_t answered = 0;
    v1::ResponseBatch answers;
    while (stream->Read(&answers)) answered += static_cast<uint64_t>(answers.responses_size());
    EXPECT_EQ(answered, messages);
    EXPECT_TRUE(stream->Finish().ok());
  }
}

// Whatever is under way when a client goes.
TEST_F(KvStreamTest, StreamsThatAreCutEnd) {
  for (uint64_t round = 0; round < 100; ++round) {
    grpc::ClientContext context;
    const auto stream = stub_->Stream(&context);
    for (uint64_t id = 1; id <= round % 20; ++id) stream->Write(Batch(id));
    context.TryCancel();
    EXPECT_FALSE(stream->Finish().ok());
  }
}

TEST_F(KvStreamTest, UnaryCallsAreAnsweredOrEnd) {
  v1::Response answer;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(stub_->Call(&context, Batch(7).requests(0), &answer).ok());
    EXPECT_EQ(answer.id(), 7u);
  }
  gate_.Close();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  EXPECT_EQ(stub_->Call(&context, Batch(8).requests(0), &answer).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  gate_.Open();  // answers what nobody waits for
}

}  // namespace
}  // namespace basalt::server
