#include "tests/bench/etcd_target.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/mutex.h"
#include "tests/bench/etcd_rpc.grpc.pb.h"

namespace basalt::bench {
namespace {

using base::MutexLock;

// One call under way. It holds on to the channel by its context, and the last owner of a channel
// joins gRPC's callback threads, so it must not be one of them: contexts end in their callbacks.
template <typename Request, typename Response>
struct Exchange {
  std::unique_ptr<grpc::ClientContext> context = std::make_unique<grpc::ClientContext>();
  Request request;
  Response response;
};

Status StatusOf(const grpc::Status& status, bool write) {
  if (status.ok()) return {};
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::FAILED_PRECONDITION:
      return Status(Code::kInvalidArgument, Outcome::kNotApplied, status.error_message());
    case grpc::StatusCode::RESOURCE_EXHAUSTED:  // refused before it was proposed
      return Status(Code::kOverloaded, Outcome::kNotApplied, status.error_message());
    default:
      return Status(Code::kUnavailable, write ? Outcome::kUnknown : Outcome::kNotApplied,
                    status.error_message());
  }
}

}  // namespace

class EtcdTarget::Calls {
 public:
  explicit Calls(const EtcdOptions& options) : options_(options) {
    grpc::ChannelArguments arguments;
    // Else equal addresses share one connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    for (const std::string& endpoint : options.endpoints) {
      channels_.push_back(
          grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments));
      stubs_.push_back(etcdserverpb::KV::NewStub(channels_.back()));
    }
  }

  // Waits for callbacks to leave.
  ~Calls() {
    const MutexLock lock(mutex_);
    while (open_calls_ > 0) ended_.Wait(mutex_);
  }

  bool WaitForConnections() {
    const auto deadline = std::chrono::system_clock::now() + options_.timeout;
    return std::all_of(channels_.begin(), channels_.end(),
                       [&](const auto& channel) { return channel->WaitForConnected(deadline); });
  }

  void Range(const etcdserverpb::RangeRequest& request,
             std::function<void(const grpc::Status&, etcdserverpb::RangeResponse&)> done) {
    auto exchange = BeginCall<etcdserverpb::RangeRequest, etcdserverpb::RangeResponse>();
    exchange->request = request;
    NextStub()->async()->Range(
        exchange->context.get(), &exchange->request, &exchange->response,
        [this, exchange, done = std::move(done)](const grpc::Status& status) {
          exchange->context.reset();
          done(status, exchange->response);
          EndCall();
        });
  }

  void Put(const std::string& key, const std::string& value, PutDone done) {
    if (options_.txn_puts > 1) return PutInTxn({key, value, std::move(done)});
    auto exchange = BeginCall<etcdserverpb::PutRequest, etcdserverpb::PutResponse>();
    exchange->request.set_key(key);
    exchange->request.set_value(value);
    NextStub()->async()->Put(exchange->context.get(), &exchange->request, &exchange->response,
                             [this, exchange, done = std::move(done)](const grpc::Status& status) {
                               exchange->context.reset();
                               done(StatusOf(status, /*write=*/true));
                               EndCall();
                             });
  }

  void CompareAndPut(const std::vector<std::string>& keys, const std::vector<std::string>& values,
                     PutDone done) {
    auto exchange = BeginCall<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse>();
    etcdserverpb::Compare* compare = exchange->request.add_compare();
    compare->set_result(etcdserverpb::Compare::GREATER);
    compare->set_target(etcdserverpb::Compare::VERSION);
    compare->set_key(keys.front());
    compare->set_version(0);
    for (size_t i = 0; i < keys.size(); ++i) {
      etcdserverpb::PutRequest* put = exchange->request.add_success()->mutable_request_put();
      put->set_key(keys[i]);
      put->set_value(values[i]);
    }
    NextStub()->async()->Txn(
        exchange->context.get(), &exchange->request, &exchange->response,
        [this, exchange, done = std::move(done)](const grpc::Status& status) {
          exchange->context.reset();
          done(status.ok() && !exchange->response.succeeded()
                   ? Status(Code::kAborted, Outcome::kNotApplied, "the compare did not hold")
                   : StatusOf(status, /*write=*/true));
          EndCall();
        });
  }

  uint64_t txns() const { return txns_; }
  uint64_t puts_in_txns() const { return puts_in_txns_; }

 private:
  struct WaitingPut {
    std::string key;
    std::string value;
    PutDone done;
  };

  template <typename Request, typename Response>
  std::shared_ptr<Exchange<Request, Response>> BeginCall() {
    {
      const MutexLock lock(mutex_);
      ++open_calls_;
    }
    auto exchange = std::make_shared<Exchange<Request, Response>>();
    exchange->context->set_deadline(std::chrono::system_clock::now() + options_.timeout);
    return exchange;
  }

  void EndCall() {
    const MutexLock lock(mutex_);
    if (--open_calls_ == 0) ended_.NotifyAll();
  }

  etcdserverpb::KV::Stub* NextStub() { return stubs_[next_stub_++ % stubs_.size()].get(); }

  void PutInTxn(WaitingPut put) {
    {
      const MutexLock lock(mutex_);
      waiting_.push_back(std::move(put));
    }
    SendFullTxns();
  }

  // Sends what makes whole transactions, and the rest when nothing is under way.
  void SendFullTxns() {
    while (true) {
      std::vector<WaitingPut> puts;
      {
        const MutexLock lock(mutex_);
        const bool full = waiting_.size() >= options_.txn_puts;
        if (waiting_.empty() || (!full && open_txns_ > 0)) return;
        const auto count = std::min<size_t>(waiting_.size(), options_.txn_puts);
        const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
        puts.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
        waiting_.erase(waiting_.begin(), end);
        ++open_txns_;
      }
      SendTxn(std::move(puts));
    }
  }

  void SendTxn(std::vector<WaitingPut> puts) {
    auto exchange = BeginCall<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse>();
    for (WaitingPut& put : puts) {
      etcdserverpb::PutRequest* request = exchange->request.add_success()->mutable_request_put();
      request->set_key(std::move(put.key));
      request->set_value(std::move(put.value));
    }
    ++txns_;
    puts_in_txns_ += puts.size();
    NextStub()->async()->Txn(exchange->context.get(), &exchange->request, &exchange->response,
                             [this, exchange, puts = std::move(puts)](const grpc::Status& status) {
                               exchange->context.reset();
                               OnTxnEnded(puts, StatusOf(status, /*write=*/true));
                               EndCall();
                             });
  }

  void OnTxnEnded(const std::vector<WaitingPut>& puts, const Status& status) {
    // Whoever is answered puts again; only then is it known whether a transaction is full.
    for (const WaitingPut& put : puts) put.done(status);
    {
      const MutexLock lock(mutex_);
      --open_txns_;
    }
    SendFullTxns();
  }

  const EtcdOptions options_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<etcdserverpb::KV::Stub>> stubs_;
  std::atomic<uint64_t> next_stub_{0};
  std::atomic<uint64_t> txns_{0};
  std::atomic<uint64_t> puts_in_txns_{0};
  base::Mutex mutex_;
  base::CondVar ended_;
  uint64_t open_calls_ BASALT_GUARDED_BY(mutex_) = 0;
  std::vector<WaitingPut> waiting_ BASALT_GUARDED_BY(mutex_);
  uint32_t open_txns_ BASALT_GUARDED_BY(mutex_) = 0;
};

Result<std::unique_ptr<EtcdTarget>> EtcdTarget::Connect(const EtcdOptions& options) {
  auto calls = std::make_unique<Calls>(options);
  if (!calls->WaitForConnections()) {
    return Status(Code::kUnavailable, Outcome::kNotApplied, "no connection to every endpoint");
  }
  return std::unique_ptr<EtcdTarget>(new EtcdTarget(std::move(calls)));
}

EtcdTarget::EtcdTarget(std::unique_ptr<Calls> calls) : calls_(std::move(calls)) {}
EtcdTarget::~EtcdTarget() = default;

void EtcdTarget::Put(const std::string& key, const std::string& value, PutDone done) {
  calls_->Put(key, value, std::move(done));
}

void EtcdTarget::Get(const std::string& key, GetDone done) {
  etcdserverpb::RangeRequest request;
  request.set_key(key);
  calls_->Range(request, [done = std::move(done)](const grpc::Status& status,
                                                  etcdserverpb::RangeResponse& response) {
    if (!status.ok()) {
      done(StatusOf(status, /*write=*/false));
    } else if (response.kvs().empty()) {
      done(std::optional<std::string>());
    } else {
      done(std::optional<std::string>(std::move(*response.mutable_kvs(0)->mutable_value())));
    }
  });
}

void EtcdTarget::Transact(const std::vector<std::string>& keys, Change change, PutDone done) {
  calls_->CompareAndPut(keys, change({}), std::move(done));
}

void EtcdTarget::Scan(const std::string& from, const std::string& to, uint64_t limit,
                      ScanDone done) {
  etcdserverpb::RangeRequest request;
  request.set_key(from);
  request.set_range_end(to.empty() ? std::string(1, '\0') : to);
  request.set_limit(static_cast<int64_t>(limit));
  calls_->Range(request, [done = std::move(done)](const grpc::Status& status,
                                                  etcdserverpb::RangeResponse& response) {
    if (status.ok()) {
      done(static_cast<uint64_t>(response.kvs_size()));
    } else {
      done(StatusOf(status, /*write=*/false));
    }
  });
}

uint64_t EtcdTarget::txns() const { return calls_->txns(); }
uint64_t EtcdTarget::puts_in_txns() const { return calls_->puts_in_txns(); }

}  // namespace basalt::bench
