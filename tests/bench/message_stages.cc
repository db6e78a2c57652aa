// What clients and nodes say to each other, to bytes and back, on the client's side and on the
// node's.
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "client/wire.h"
#include "tests/bench/stage.h"
#include "tests/bench/workpiece.h"

namespace basalt::bench {
namespace {

client::Send MakeSend(base::Random& random, uint64_t id) {
  auto operation = std::make_shared<client::Operation>();
  operation->kind = client::OperationKind::kPut;
  operation->key = RandomBytes(random, kKeyBytes);
  operation->value = RandomBytes(random, kValueBytes);
  return {
      id, {1, 1, 3}, 5000, {.sequence = id, .lowest_open = 1, .issued = id}, std::move(operation)};
}

// The client: open calls to the bytes of one message of puts.
class RequestEncode final : public Stage {
 public:
  RequestEncode() {
    base::Random random(1);
    for (uint64_t id = 1; id <= kBatch; ++id) sends_.push_back(MakeSend(random, id));
  }
  void Run() override {
    v1::RequestBatch batch;
    for (const client::Send& send : sends_) {
      client::ToRequest(send, {1, 2}, batch.add_requests());
    }
    BASALT_CHECK(batch.SerializeToString(&bytes_));
  }

 private:
  std::vector<client::Send> sends_;
  std::string bytes_;
};

// The node: the bytes of one message of puts to the requests that Dispatch takes.
class RequestDecode final : public Stage {
 public:
  RequestDecode() {
    base::Random random(2);
    const std::vector<std::string> keys = MakeKeys(random, 1024, base::kSlotCount);
    v1::RequestBatch batch;
    for (v1::Request& put : MakePuts(random, keys)) *batch.add_requests() = std::move(put);
    bytes_ = batch.SerializeAsString();
  }
  void Prepare() override { requests_.clear(); }
  void Run() override {
    BASALT_CHECK(batch_.ParseFromString(bytes_));
    requests_.assign(std::make_move_iterator(batch_.mutable_requests()->begin()),
                     std::make_move_iterator(batch_.mutable_requests()->end()));
    batch_.Clear();
  }

 private:
  std::string bytes_;
  v1::RequestBatch batch_;
  std::vector<v1::Request> requests_;
};

v1::Response MakeGetAnswer(base::Random& random, uint64_t id) {
  v1::Response response;
  response.set_id(id);
  response.set_mode(v1::READ_MODE_LEASE);
  response.mutable_get()->set_found(true);
  response.mutable_get()->set_value(RandomBytes(random, kValueBytes));
  response.mutable_get()->set_version(id);
  return response;
}

// The node: answers to gets to the bytes of one message.
class ReplyEncode final : public Stage {
 public:
  ReplyEncode() {
    base::Random random(3);
    for (uint64_t id = 1; id <= kBatch; ++id) made_.push_back(MakeGetAnswer(random, id));
  }
  void Prepare() override { answers_ = made_; }
  void Run() override {
    batch_.Clear();
    for (v1::Response& answer : answers_) batch_.add_responses()->Swap(&answer);
    BASALT_CHECK(batch_.SerializeToString(&bytes_));
  }

 private:
  std::vector<v1::Response> made_;
  std::vector<v1::Response> answers_;
  v1::ResponseBatch batch_;
  std::string bytes_;
};

// The client: the bytes of one message of answers to gets to what the dispatcher takes.
class ReplyDecode final : public Stage {
 public:
  ReplyDecode() {
    base::Random random(4);
    v1::ResponseBatch batch;
    for (uint64_t id = 1; id <= kBatch; ++id) *batch.add_responses() = MakeGetAnswer(random, id);
    bytes_ = batch.SerializeAsString();
  }
  void Prepare() override { answers_.clear(); }
  void Run() override {
    BASALT_CHECK(batch_.ParseFromString(bytes_));
    for (v1::Response& response : *batch_.mutable_responses()) {
      answers_.push_back(client::ToAnswer(&response));
    }
  }

 private:
  std::string bytes_;
  v1::ResponseBatch batch_;
  std::vector<client::Answer> answers_;
};

}  // namespace

std::vector<StageKind> MessageStages() {
  return {
      {"request_encode", MakeStage<RequestEncode>},
      {"request_decode", MakeStage<RequestDecode>},
      {"reply_encode", MakeStage<ReplyEncode>},
      {"reply_decode", MakeStage<ReplyDecode>},
  };
}

}  // namespace basalt::bench
