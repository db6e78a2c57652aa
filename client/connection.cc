#include "client/connection.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "base/mutex.h"
#include "proto/client.grpc.pb.h"

namespace basalt::client {
namespace {

using base::CondVar;
using base::Mutex;
using base::MutexLock;
using std::chrono::milliseconds;

constexpr int kRequestsPerMessage = 512;
constexpr size_t kBytesPerMessage = size_t{1} << 20;
constexpr int kMessageBytesMax = 64 << 20;
constexpr milliseconds kAliveTimeout{1000};
// An RPC of unary mode outlives the time that the server was given by this.
constexpr milliseconds kUnaryGrace{1000};

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  // Ours is the backoff; gRPC's goes up to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 400);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

size_t BytesOf(const Operation& operation) { return operation.bytes() + 64; }

}  // namespace

struct Connection::Stub {
  explicit Stub(std::shared_ptr<grpc::Channel> to)
      : channel(std::move(to)), kv(v1::Kv::NewStub(channel)) {}
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::Kv::Stub> kv;
};

// Shared with the RPCs under way, so that the last callback finds it alive. It must not own the
// gRPC channel, nor may a context, which holds on to that, outlive its RPC: the last owner of a
// channel joins gRPC's callback threads, and must not be one of them.
class Connection::Channel : public std::enable_shared_from_this<Connection::Channel> {
 public:
  Channel(ConnectionOptions options, ConnectionObserver* observer, v1::Kv::Stub* stub)
      : options_(std::move(options)), observer_(observer), stub_(stub) {}

  // Whether a port that refuses is tried again until the time is up.
  enum class Patience : bool { kNone, kSome };

  const ConnectionOptions& options() const { return options_; }
  ConnectionObserver* observer() const { return observer_; }
  v1::Kv::Stub* stub() const { return stub_; }

  std::vector<uint64_t> Enqueue(const std::vector<Send>& sends);
  std::vector<uint64_t> Withdraw(const std::vector<uint64_t>& send_ids);
  void Flush();
  void Probe();
  void Try();
  void FetchMap(milliseconds timeout, Patience patience,
                std::function<void(grpc::Status, const v1::ClusterMap&)> done);
  void Close();

  // From the stream's callbacks.
  void OnStreamWritten(Stream* stream, bool ok);
  void OnStreamBroken(Stream* stream);
  // Says of each when it was written, as far as that was noted.
  void AddWritten(std::vector<Answer>& answers);

  // Every RPC under way holds one; Close cancels it and waits for its release.
  std::shared_ptr<grpc::ClientContext> OpenContext();
  void ReleaseContext(std::shared_ptr<grpc::ClientContext> context);

 private:
  enum class Phase : uint8_t { kDown, kOpening, kUp, kClosed };

  void Open(Patience patience);
  void OnOpened(bool alive);
  void AskWhetherAlive();
  void Gather(const Send& send) BASALT_REQUIRES(mutex_);
  void CallAlone(v1::Request request);
  void OnCallFailed(bool node_lost);
  void CancelAll();
  void NoteWritten(const v1::RequestBatch& batch) BASALT_REQUIRES(mutex_);
  void SetDown() BASALT_REQUIRES(mutex_);
  std::vector<uint64_t> TakeWaiting() BASALT_REQUIRES(mutex_);

  const ConnectionOptions options_;
  ConnectionObserver* const observer_;
  v1::Kv::Stub* const stub_;  // not to be touched once Close has returned

  Mutex mutex_;
  CondVar released_;
  Phase phase_ BASALT_GUARDED_BY(mutex_) = Phase::kDown;
  bool probing_ BASALT_GUARDED_BY(mutex_) = false;
  Stream* stream_ BASALT_GUARDED_BY(mutex_) = nullptr;
  std::deque<v1::RequestBatch> waiting_ BASALT_GUARDED_BY(mutex_);
  size_t last_batch_bytes_ BASALT_GUARDED_BY(mutex_) = 0;
  // Of requests that are to be explained: whether there was ever one, and when each was written.
  std::atomic<bool> explains_{false};
  std::map<uint64_t, Time> written_ BASALT_GUARDED_BY(mutex_);
  std::set<std::shared_ptr<grpc::ClientContext>> contexts_ BASALT_GUARDED_BY(mutex_);
  uint64_t open_rpcs_ BASALT_GUARDED_BY(mutex_) = 0;
};

// Deletes itself when gRPC is done with it. A hold keeps it alive until the link is known to be
// broken and no write is under way, because writes start outside of its own callbacks.
class Connection::Stream final
    : public grpc::ClientBidiReactor<v1::RequestBatch, v1::ResponseBatch> {
 public:
  explicit Stream(std::shared_ptr<Channel> channel)
      : channel_(std::move(channel)), context_(channel_->OpenContext()) {}

  // The link must be registered as `writing` before, and set free by OnStreamWritten after.
  void Open() {
    channel_->stub()->async()->Stream(context_.get(), this);
    AddHold();
    StartRead(&response_);
    StartCall();
  }
  void Write(v1::RequestBatch batch) {
    request_ = std::move(batch);
    StartWrite(&request_);
  }
  void DropHold() { RemoveHold(); }
  void Cancel() { context_->TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Cancel();
      channel_->OnStreamBroken(this);
      return;
    }
    answers_.clear();
    for (v1::Response& response : *response_.mutable_responses()) {
      answers_.push_back(ToAnswer(&response));
    }
    channel_->AddWritten(answers_);
    channel_->observer()->OnAnswers(channel_->options().node_id, answers_);
    StartRead(&response_);
  }
  void OnWriteDone(bool ok) override { channel_->OnStreamWritten(this, ok); }
  void OnDone(const grpc::Status& /*status*/) override {
    const std::shared_ptr<Channel> channel = std::move(channel_);
    std::shared_ptr<grpc::ClientContext> context = std::move(context_);
    delete this;
    channel->ReleaseContext(std::move(context));
  }

  // Guarded by the channel's lock.
  bool writing = true;
  bool failed = false;  // a write failed: no more of them
  bool broken = false;  // a read failed: it is over

 private:
  std::shared_ptr<Channel> channel_;
  std::shared_ptr<grpc::ClientContext> context_;
  v1::RequestBatch request_;
  v1::ResponseBatch response_;
  std::vector<Answer> answers_;
};

std::shared_ptr<grpc::ClientContext> Connection::Channel::OpenContext() {
  auto context = std::make_shared<grpc::ClientContext>();
  bool closed = false;
  {
    const MutexLock lock(mutex_);
    closed = phase_ == Phase::kClosed;
    contexts_.insert(context);
    ++open_rpcs_;
  }
  if (closed) context->TryCancel();
  return context;
}

void Connection::Channel::ReleaseContext(std::shared_ptr<grpc::ClientContext> context) {
  {
    const MutexLock lock(mutex_);
    contexts_.erase(context);
  }
  context.reset();
  const MutexLock lock(mutex_);
  if (--open_rpcs_ == 0) released_.NotifyAll();
}

void Connection::Channel::CancelAll() {
  std::vector<std::shared_ptr<grpc::ClientContext>> open;
  {
    const MutexLock lock(mutex_);
    open.assign(contexts_.begin(), contexts_.end());
  }
  for (const auto& context : open) context->TryCancel();
}

void Connection::Channel::Close() {
  {
    const MutexLock lock(mutex_);
    phase_ = Phase::kClosed;
    waiting_.clear();
  }
  CancelAll();
  const MutexLock lock(mutex_);
  while (open_rpcs_ > 0) released_.Wait(mutex_);
}

void Connection::Channel::Gather(const Send& send) {
  const size_t bytes = BytesOf(*send.operation);
  if (waiting_.empty() || waiting_.back().requests_size() >= kRequestsPerMessage ||
      last_batch_bytes_ + bytes > kBytesPerMessage) {
    waiting_.emplace_back();
    last_batch_bytes_ = 0;
  }
  last_batch_bytes_ += bytes;
  ToRequest(send, options_.client_id, waiting_.back().add_requests());
  if (send.operation->explain) explains_.store(true);
}

void Connection::Channel::NoteWritten(const v1::RequestBatch& batch) {
  if (!explains_.load()) return;
  const Time now =
      std::chrono::duration_cast<Time>(std::chrono::steady_clock::now().time_since_epoch());
  for (const v1::Request& request : batch.requests()) {
    if (request.explain()) written_[request.id()] = now;
  }
}

void Connection::Channel::AddWritten(std::vector<Answer>& answers) {
  if (!explains_.load()) return;
  const MutexLock lock(mutex_);
  for (Answer& answer : answers) {
    const auto noted = written_.extract(answer.send_id);
    if (!noted.empty()) answer.written = noted.mapped();
  }
}

std::vector<uint64_t> Connection::Channel::Enqueue(const std::vector<Send>& sends) {
  std::vector<uint64_t> turned_back;
  bool open = false;
  {
    const MutexLock lock(mutex_);
    if (phase_ == Phase::kDown) {
      phase_ = Phase::kOpening;
      open = true;
    }
    if (phase_ == Phase::kOpening || phase_ == Phase::kUp) {
      for (const Send& send : sends) Gather(send);
    } else {
      for (const Send& send : sends) turned_back.push_back(send.send_id);
    }
  }
  if (open) Open(Patience::kNone);
  return turned_back;
}

std::vector<uint64_t> Connection::Channel::Withdraw(const std::vector<uint64_t>& send_ids) {
  std::vector<uint64_t> wanted = send_ids;
  std::sort(wanted.begin(), wanted.end());
  std::vector<uint64_t> unsent;
  const MutexLock lock(mutex_);
  for (v1::RequestBatch& batch : waiting_) {
    auto& requests = *batch.mutable_requests();
    const auto rest =
        std::stable_partition(requests.begin(), requests.end(), [&](const v1::Request& request) {
          return !std::binary_search(wanted.begin(), wanted.end(), request.id());
        });
    for (auto it = rest; it != requests.end(); ++it) unsent.push_back(it->id());
    requests.erase(rest, requests.end());
  }
  std::erase_if(waiting_, [](const v1::RequestBatch& batch) { return batch.requests().empty(); });
  // What is last now may be another batch, whose bytes were not kept.
  if (!unsent.empty()) last_batch_bytes_ = kBytesPerMessage;
  return unsent;
}

void Connection::Channel::Open(Patience patience) {
  FetchMap(kAliveTimeout, patience,
           [self = shared_from_this()](const grpc::Status& status, const v1::ClusterMap& map) {
             if (status.ok() && !map.cluster_id().empty()) self->observer_->OnMap(ToView(map));
             self->OnOpened(status.ok());
           });
}

void Connection::Channel::OnOpened(bool alive) {
  std::vector<uint64_t> unsent;
  bool closed = false;
  Stream* stream = alive && !options_.unary ? new Stream(shared_from_this()) : nullptr;
  {
    const MutexLock lock(mutex_);
    closed = phase_ == Phase::kClosed;
    if (!closed && alive) {
      phase_ = Phase::kUp;
      stream_ = stream;
    } else if (!closed) {
      unsent = TakeWaiting();
      SetDown();
    }
  }
  if (alive) {
    observer_->OnAlive(options_.node_id);
  } else if (!closed) {
    observer_->OnUnsent(options_.node_id, unsent);
  }
  if (stream == nullptr) {
    Flush();
  } else {
    stream->Open();
    OnStreamWritten(stream, true);
  }
}

void Connection::Channel::SetDown() {
  stream_ = nullptr;
  written_.clear();
  phase_ = Phase::kDown;
}

std::vector<uint64_t> Connection::Channel::TakeWaiting() {
  std::vector<uint64_t> ids;
  for (const v1::RequestBatch& batch : waiting_) {
    for (const v1::Request& request : batch.requests()) ids.push_back(request.id());
  }
  waiting_.clear();
  return ids;
}

void Connection::Channel::Flush() {
  std::deque<v1::RequestBatch> alone;
  v1::RequestBatch batch;
  Stream* stream = nullptr;
  {
    const MutexLock lock(mutex_);
    if (phase_ != Phase::kUp || waiting_.empty()) return;
    if (options_.unary) {
      alone.swap(waiting_);
      for (const v1::RequestBatch& requests : alone) NoteWritten(requests);
    } else {
      if (stream_->writing || stream_->failed) return;
      stream = stream_;
      stream->writing = true;
      batch = std::move(waiting_.front());
      waiting_.pop_front();
      NoteWritten(batch);
    }
  }
  if (stream != nullptr) stream->Write(std::move(batch));
  for (v1::RequestBatch& requests : alone) {
    for (v1::Request& request : *requests.mutable_requests()) CallAlone(std::move(request));
  }
}

void Connection::Channel::OnStreamWritten(Stream* stream, bool ok) {
  bool drop_hold = false;
  {
    const MutexLock lock(mutex_);
    stream->writing = false;
    // A failed write is followed by a failed read, which reports the link as broken.
    stream->failed = !ok;
    drop_hold = stream->broken;
  }
  if (drop_hold) {
    stream->DropHold();
  } else if (ok) {
    Flush();
  }
}

void Connection::Channel::OnStreamBroken(Stream* stream) {
  std::vector<uint64_t> unsent;
  bool drop_hold = false;
  bool was_up = false;
  {
    const MutexLock lock(mutex_);
    stream->broken = true;
    drop_hold = !stream->writing;
    was_up = stream == stream_ && phase_ == Phase::kUp;
    if (was_up) {
      unsent = TakeWaiting();
      SetDown();
    }
  }
  if (was_up) observer_->OnLinkBroken(options_.node_id, unsent);
  if (drop_hold) stream->DropHold();
}

void Connection::Channel::CallAlone(v1::Request request) {
  struct Exchange {
    std::shared_ptr<grpc::ClientContext> context;
    v1::Request request;
    v1::Response response;
  };
  auto exchange = std::make_shared<Exchange>();
  exchange->context = OpenContext();
  exchange->request = std::move(request);
  exchange->context->set_deadline(std::chrono::system_clock::now() +
                                  milliseconds(exchange->request.timeout_ms()) + kUnaryGrace);
  stub_->async()->Call(exchange->context.get(), &exchange->request, &exchange->response,
                       [self = shared_from_this(), exchange](const grpc::Status& status) {
                         const uint64_t node_id = self->options_.node_id;
                         if (status.ok()) {
                           std::vector<Answer> answers;
                           answers.push_back(ToAnswer(&exchange->response));
                           answers.back().send_id = exchange->request.id();
                           self->AddWritten(answers);
                           self->observer_->OnAnswers(node_id, answers);
                         } else {
                           self->OnCallFailed(status.error_code() == grpc::StatusCode::UNAVAILABLE);
                           self->observer_->OnSendsLost(node_id, {exchange->request.id()});
                         }
                         self->ReleaseContext(std::move(exchange->context));
                       });
}

void Connection::Channel::OnCallFailed(bool node_lost) {
  std::vector<uint64_t> unsent;
  {
    const MutexLock lock(mutex_);
    if (!node_lost || phase_ != Phase::kUp) return;
    unsent = TakeWaiting();
    SetDown();
  }
  observer_->OnUnsent(options_.node_id, unsent);
}

void Connection::Channel::Probe() {
  {
    const MutexLock lock(mutex_);
    // An RPC of unary mode has its own deadline, and a probe would queue behind all of them.
    if (phase_ != Phase::kUp || probing_ || options_.unary) return;
    probing_ = true;
  }
  AskWhetherAlive();
}

void Connection::Channel::Try() {
  bool open = false;
  {
    const MutexLock lock(mutex_);
    if (phase_ == Phase::kDown) {
      phase_ = Phase::kOpening;
      open = true;
    } else if (phase_ != Phase::kUp || std::exchange(probing_, true)) {
      return;  // it is being asked already
    }
  }
  if (open) {
    Open(Patience::kSome);
  } else {
    AskWhetherAlive();
  }
}

void Connection::Channel::AskWhetherAlive() {
  FetchMap(kAliveTimeout, Patience::kNone,
           [self = shared_from_this()](const grpc::Status& status, const v1::ClusterMap& map) {
             {
               const MutexLock lock(self->mutex_);
               self->probing_ = false;
             }
             if (status.ok()) {
               self->observer_->OnAlive(self->options_.node_id);
               if (!map.cluster_id().empty()) self->observer_->OnMap(ToView(map));
             } else if (self->options_.unary) {
               self->OnCallFailed(true);
             } else {
               self->CancelAll();  // the stream's failed read tells the rest
             }
           });
}

void Connection::Channel::FetchMap(milliseconds timeout, Patience patience,
                                   std::function<void(grpc::Status, const v1::ClusterMap&)> done) {
  struct Exchange {
    std::shared_ptr<grpc::ClientContext> context;
    v1::GetMapRequest request;
    v1::ClusterMap map;
  };
  auto exchange = std::make_shared<Exchange>();
  exchange->context = OpenContext();
  exchange->context->set_deadline(std::chrono::system_clock::now() + timeout);
  exchange->context->set_wait_for_ready(patience == Patience::kSome);
  stub_->async()->GetMap(
      exchange->context.get(), &exchange->request, &exchange->map,
      [self = shared_from_this(), exchange, done = std::move(done)](const grpc::Status& status) {
        done(status, exchange->map);
        self->ReleaseContext(std::move(exchange->context));
      });
}

Connection::Connection(ConnectionOptions options, ConnectionObserver* observer)
    : stub_(std::make_unique<Stub>(MakeChannel(options.address))),
      channel_(std::make_shared<Channel>(std::move(options), observer, stub_->kv.get())) {}

Connection::~Connection() { channel_->Close(); }

void Connection::Close() { channel_->Close(); }

const std::string& Connection::address() const { return channel_->options().address; }

std::vector<uint64_t> Connection::Enqueue(const std::vector<Send>& sends) {
  return channel_->Enqueue(sends);
}

std::vector<uint64_t> Connection::Withdraw(const std::vector<uint64_t>& send_ids) {
  return channel_->Withdraw(send_ids);
}

void Connection::Flush() { channel_->Flush(); }

void Connection::Probe() { channel_->Probe(); }

void Connection::Try() {
  // What gRPC knows from its own last try may be older than what this one is for.
  grpc::experimental::ChannelResetConnectionBackoff(stub_->channel.get());
  channel_->Try();
}

void Connection::FetchMap(milliseconds timeout, std::function<void(Result<ClusterView>)> done) {
  channel_->FetchMap(
      timeout, Channel::Patience::kNone,
      [done = std::move(done)](const grpc::Status& status, const v1::ClusterMap& map) {
        if (status.ok()) {
          done(ToView(map));
        } else {
          done(Status(Code::kUnavailable, Outcome::kNotApplied, status.error_message()));
        }
      });
}

}  // namespace basalt::client
