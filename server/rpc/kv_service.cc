#include "server/rpc/kv_service.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "server/clock/hybrid_clock.h"
#include "server/rpc/polling_threads.h"
#include "server/rpc/queue_turn.h"

namespace basalt::server {
namespace {

// Bounds of one stream: beyond them its requests stay unread, and TCP tells the client.
constexpr size_t kRequestsUnderWayMax = 16384;
constexpr size_t kQuickRequestsMax = 256;
constexpr size_t kUnsentBytesMax = 64u << 20;
// One message stays well below gRPC's own bound; a single larger answer goes alone.
constexpr size_t kMessageBytesAim = 1u << 20;

// How many turns of gRPC's queue an answer waits while each brings more requests.
constexpr uint32_t kTurnsMax = 64;

// One client stream. It is the sink of its requests: answers that arrive while a message is being
// written leave together in the next one, and so do those to all messages that were ready to be
// read.
//
// Ownership: itself, until gRPC is done with it; requests under way hold it too, and what they
// deliver after that is dropped.
class ClientStream final : public grpc::ServerBidiReactor<v1::RequestBatch, v1::ResponseBatch>,
                           public ReplySink,
                           public std::enable_shared_from_this<ClientStream> {
 public:
  ClientStream(Dispatch& dispatch, grpc::CallbackServerContext* context)
      : dispatch_(dispatch),
        budget_(dispatch.budget()),
        context_(context),
        turn_([this] { OnTurn(); }) {}
  ~ClientStream() override {
    base::MutexLock lock(mutex_);  // with OnCancel, which may have ended on another thread just now
    budget_.GiveBack(unsent_bytes_);
  }

  void Begin() {
    self_ = shared_from_this();
    StartRead(&incoming_);
  }

  void Deliver(std::vector<v1::Response> responses) override BASALT_EXCLUDES(mutex_) {
    size_t bytes = 0;
    for (const v1::Response& response : responses) bytes += response.ByteSizeLong();
    Next next;
    {
      base::MutexLock lock(mutex_);
      under_way_ -= responses.size();
      if (!cancelled_) {
        unsent_bytes_ += bytes;
        budget_.Hold(bytes);
        unsent_.insert(unsent_.end(), std::make_move_iterator(responses.begin()),
                       std::make_move_iterator(responses.end()));
      }
      ChooseNext(next);
    }
    Carry(next);
  }

  void OnReadDone(bool ok) override BASALT_EXCLUDES(mutex_) {
    if (ok) {
      std::vector<v1::Request> requests(
          std::make_move_iterator(incoming_.mutable_requests()->begin()),
          std::make_move_iterator(incoming_.mutable_requests()->end()));
      incoming_.Clear();
      {
        base::MutexLock lock(mutex_);
        under_way_ += requests.size();
        handling_ = true;
      }
      // Gets are answered here, and each may have to ask the disk.
      std::optional<PollingThreads::Blocking> blocking;
      if (requests.size() > kQuickRequestsMax) blocking.emplace();
      if (!requests.empty()) dispatch_.Handle(shared_from_this(), std::move(requests));
    }
    Next next;
    {
      base::MutexLock lock(mutex_);
      handling_ = false;
      reading_ = false;
      if (!ok) read_ended_ = true;
      read_since_turn_ = true;
      ConsiderTurn(next);
      ChooseNext(next);
    }
    Carry(next);
  }

  void OnWriteDone(bool ok) override BASALT_EXCLUDES(mutex_) {
    Next next;
    {
      base::MutexLock lock(mutex_);
      writing_ = false;
      if (!ok) Abandon();
      ConsiderTurn(next);
      ChooseNext(next);
    }
    Carry(next);
  }

  void OnCancel() override BASALT_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    Abandon();  // the read under way ends with an error and finishes the stream
  }

  void OnDone() override { self_.reset(); }

 private:
  struct Next {
    bool write = false;
    bool read = false;
    bool finish = false;
    bool turn = false;
  };

  // What was ready has been handled, but for what another thread may have at hand.
  void OnTurn() BASALT_EXCLUDES(mutex_) {
    Next next;
    {
      base::MutexLock lock(mutex_);
      turn_asked_ = false;
      ConsiderTurn(next);
      ChooseNext(next);
    }
    Carry(next);
  }

  // Gathers on while turns bring reads.
  void ConsiderTurn(Next& next) BASALT_REQUIRES(mutex_) {
    if (turn_asked_ || handling_ || writing_ || finished_ || unsent_.empty()) return;
    if (!std::exchange(read_since_turn_, false) || turns_ == kTurnsMax ||
        unsent_bytes_ >= kMessageBytesAim) {
      turns_ = 0;
      return;
    }
    ++turns_;
    turn_asked_ = next.turn = true;
  }

  void Abandon() BASALT_REQUIRES(mutex_) {
    cancelled_ = true;
    unsent_.clear();
    budget_.GiveBack(std::exchange(unsent_bytes_, 0));
  }

  // Decides under the lock; Carry acts without it, because gRPC may call back from inside.
  void ChooseNext(Next& next) BASALT_REQUIRES(mutex_) {
    if (finished_) return;
    if (!writing_ && !handling_ && !turn_asked_ && !unsent_.empty()) {
      FillMessage();
      writing_ = next.write = true;
    }
    if (!reading_ && !read_ended_ &&
        (cancelled_ || (under_way_ < kRequestsUnderWayMax && unsent_bytes_ < kUnsentBytesMax))) {
      reading_ = next.read = true;
    }
    if (read_ended_ && !writing_ && !turn_asked_ && (cancelled_ || under_way_ == 0)) {
      finished_ = next.finish = true;
    }
  }

  void FillMessage() BASALT_REQUIRES(mutex_) {
    outgoing_.Clear();
    size_t taken = 0;
    size_t bytes = 0;
    while (taken < unsent_.size() && bytes < kMessageBytesAim) {
      bytes += unsent_[taken].ByteSizeLong();
      outgoing_.add_responses()->Swap(&unsent_[taken]);
      ++taken;
    }
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<ptrdiff_t>(taken));
    unsent_bytes_ -= bytes;
    budget_.GiveBack(bytes);
  }

  void Carry(const Next& next) {
    if (next.write) StartWrite(&outgoing_);
    if (next.read) StartRead(&incoming_);
    if (next.turn) turn_.Ask(context_->c_call());
    if (next.finish) Finish(grpc::Status::OK);
  }

  Dispatch& dispatch_;
  RequestBudget& budget_;                       // outlives the dispatch, as answers under way may
  grpc::CallbackServerContext* const context_;  // gRPC's, until Finish
  QueueTurn turn_;
  std::shared_ptr<ClientStream> self_;
  v1::RequestBatch incoming_;   // owned by the read under way
  v1::ResponseBatch outgoing_;  // owned by the write under way

  base::Mutex mutex_;
  std::vector<v1::Response> unsent_ BASALT_GUARDED_BY(mutex_);
  size_t unsent_bytes_ BASALT_GUARDED_BY(mutex_) = 0;
  size_t under_way_ BASALT_GUARDED_BY(mutex_) = 0;
  bool reading_ BASALT_GUARDED_BY(mutex_) = true;
  bool writing_ BASALT_GUARDED_BY(mutex_) = false;
  bool handling_ BASALT_GUARDED_BY(mutex_) = false;  // a read, which is answered when it is through
  bool turn_asked_ BASALT_GUARDED_BY(mutex_) = false;  // answers gather until it comes
  bool read_since_turn_ BASALT_GUARDED_BY(mutex_) = false;
  uint32_t turns_ BASALT_GUARDED_BY(mutex_) = 0;
  bool read_ended_ BASALT_GUARDED_BY(mutex_) = false;
  bool cancelled_ BASALT_GUARDED_BY(mutex_) = false;
  bool finished_ BASALT_GUARDED_BY(mutex_) = false;
};

// One unary call; the sink of its one request. The reactor is gRPC's own, which wants no reaction:
// the end of a call that has reactors of ours goes over another thread. Hence nobody hears that a
// client has given up; its request is answered all the same.
class ClientCall final : public ReplySink {
 public:
  ClientCall(grpc::ServerUnaryReactor* reactor, v1::Response* response)
      : reactor_(reactor), response_(response) {}
  // A request that is dropped unanswered, as by a node that has stopped.
  ~ClientCall() override {
    if (!ended_.exchange(true)) reactor_->Finish(grpc::Status::CANCELLED);
  }

  void Deliver(std::vector<v1::Response> responses) override {
    if (ended_.exchange(true)) return;
    response_->Swap(&responses.front());
    reactor_->Finish(grpc::Status::OK);
  }

 private:
  std::atomic<bool> ended_{false};
  grpc::ServerUnaryReactor* const reactor_;  // gRPC's, as the response, until Finish
  v1::Response* const response_;
};

}  // namespace

grpc::ServerBidiReactor<v1::RequestBatch, v1::ResponseBatch>* KvService::Stream(
    grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<ClientStream>(dispatch_, context);
  stream->Begin();
  return stream.get();
}

grpc::ServerUnaryReactor* KvService::Call(grpc::CallbackServerContext* context,
                                          const v1::Request* request, v1::Response* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  std::vector<v1::Request> requests(1, *request);
  dispatch_.Handle(std::make_shared<ClientCall>(reactor, response), std::move(requests));
  return reactor;
}

grpc::ServerUnaryReactor* KvService::GetMap(grpc::CallbackServerContext* context,
                                            const v1::GetMapRequest*, v1::ClusterMap* response) {
  *response = view_.MapWithLeaders();
  response->set_clock(time_.Milliseconds() << kStampCounterBits);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace basalt::server
