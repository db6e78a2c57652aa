#include "tests/unit/client/fake_kv_server.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "proto/admin.grpc.pb.h"
#include "proto/client.grpc.pb.h"

namespace basalt::client {
namespace {

using base::Mutex;
using base::MutexLock;

constexpr uint64_t kFirstStamp = uint64_t{1} << 40;
constexpr uint32_t kRowsPerPage = 3;  // few, so that tests meet many pages

}  // namespace

class FakeKvServer::Services final : public v1::Kv::CallbackService {
  class KvStream;

 public:
  explicit Services(uint64_t node_id) : admin_(this), node_id_(node_id) {}

  void Start(int port, int* bound) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             bound);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.RegisterService(this);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
    BASALT_CHECK(server_ != nullptr);
  }
  void Stop();
  void Resume();

  // Served: whether `response` is to be sent; dropped: whether the stream is to end.
  struct Reaction {
    bool answer = false;
    bool drop = false;
    bool stall = false;
  };
  Reaction React(const v1::Request& request, v1::Response* response);

  grpc::ServerUnaryReactor* Call(grpc::CallbackServerContext* context, const v1::Request* request,
                                 v1::Response* response) override {
    auto* reactor = context->DefaultReactor();
    const Reaction reaction = React(*request, response);
    reactor->Finish(reaction.answer ? grpc::Status::OK
                                    : grpc::Status(grpc::StatusCode::UNAVAILABLE, "dropped"));
    return reactor;
  }
  grpc::ServerUnaryReactor* GetMap(grpc::CallbackServerContext* context,
                                   const v1::GetMapRequest* /*request*/,
                                   v1::ClusterMap* map) override {
    auto* reactor = context->DefaultReactor();
    const MutexLock lock(mutex_);
    *map = map_;
    ++map_requests_;
    if (map_silent_) {
      held_maps_.push_back(reactor);
    } else {
      reactor->Finish(grpc::Status::OK);
    }
    return reactor;
  }
  void SetMapSilent(bool silent) {
    std::vector<grpc::ServerUnaryReactor*> held;
    {
      const MutexLock lock(mutex_);
      map_silent_ = silent;
      if (!silent) held.swap(held_maps_);
    }
    for (grpc::ServerUnaryReactor* reactor : held) reactor->Finish(grpc::Status::OK);
  }
  grpc::ServerBidiReactor<v1::RequestBatch, v1::ResponseBatch>* Stream(
      grpc::CallbackServerContext* context) override;

  Mutex mutex_;
  v1::ClusterMap map_ BASALT_GUARDED_BY(mutex_);
  bool map_silent_ BASALT_GUARDED_BY(mutex_) = false;
  std::vector<grpc::ServerUnaryReactor*> held_maps_ BASALT_GUARDED_BY(mutex_);
  size_t map_requests_ BASALT_GUARDED_BY(mutex_) = 0;
  Script script_ BASALT_GUARDED_BY(mutex_);
  std::map<std::string, std::string> contents_ BASALT_GUARDED_BY(mutex_);
  std::vector<v1::Request> requests_ BASALT_GUARDED_BY(mutex_);
  int largest_batch_ BASALT_GUARDED_BY(mutex_) = 0;
  std::vector<KvStream*> stalled_ BASALT_GUARDED_BY(mutex_);
  uint64_t stamp_ BASALT_GUARDED_BY(mutex_) = kFirstStamp;

 private:
  class Admin final : public v1::Admin::CallbackService {
   public:
    explicit Admin(Services* services) : services_(services) {}
    grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context,
                                     const v1::StatusRequest* /*request*/,
                                     v1::StatusReply* reply) override {
      auto* reactor = context->DefaultReactor();
      services_->FillStatus(reply);
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    grpc::ServerUnaryReactor* InitCluster(grpc::CallbackServerContext* context,
                                          const v1::InitClusterRequest* /*request*/,
                                          v1::InitClusterReply* /*reply*/) override {
      auto* reactor = context->DefaultReactor();
      reactor->Finish(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                                   "this node belongs to a cluster already"));
      return reactor;
    }

   private:
    Services* const services_;
  };

  void FillStatus(v1::StatusReply* reply);
  void Serve(const v1::Request& request, v1::Response* response) BASALT_REQUIRES(mutex_);
  void ServeCompareAndSet(const v1::CompareAndSetRequest& set, v1::Response* response)
      BASALT_REQUIRES(mutex_);
  void ServeScan(const v1::Request& request, v1::ScanResult* result) BASALT_REQUIRES(mutex_);
  void ServeReverseScan(const v1::Request& request, v1::ScanResult* result) BASALT_REQUIRES(mutex_);
  bool Owns(const v1::Request& request, const std::string& key) BASALT_REQUIRES(mutex_);

  Admin admin_;
  const uint64_t node_id_;
  std::unique_ptr<grpc::Server> server_;
};

// Answers a batch, then reads the next.
class FakeKvServer::Services::KvStream final
    : public grpc::ServerBidiReactor<v1::RequestBatch, v1::ResponseBatch> {
 public:
  explicit KvStream(Services* services) : services_(services) { StartRead(&batch_); }
  void OnReadDone(bool ok) override {
    if (!ok) {
      End();
      return;
    }
    answers_.Clear();
    {
      const MutexLock lock(services_->mutex_);
      services_->largest_batch_ = std::max(services_->largest_batch_, batch_.requests_size());
    }
    for (const v1::Request& request : batch_.requests()) {
      v1::Response response;
      const Reaction reaction = services_->React(request, &response);
      if (reaction.answer) *answers_.add_responses() = std::move(response);
      if (reaction.drop) {
        End();
        return;
      }
      if (reaction.stall) {
        // Stop ends it, or Resume goes on.
        const MutexLock lock(services_->mutex_);
        services_->stalled_.push_back(this);
        return;
      }
    }
    StartWrite(&answers_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) {
      StartRead(&batch_);
    } else {
      End();
    }
  }
  void OnDone() override { delete this; }

  void Resume() { StartRead(&batch_); }
  void End() {
    if (!ended_) Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "dropped"));
    ended_ = true;
  }

 private:
  Services* const services_;
  v1::RequestBatch batch_;
  v1::ResponseBatch answers_;
  bool ended_ = false;
};

grpc::ServerBidiReactor<v1::RequestBatch, v1::ResponseBatch>* FakeKvServer::Services::Stream(
    grpc::CallbackServerContext* /*context*/) {
  return new KvStream(this);
}

void FakeKvServer::Services::Stop() {
  if (server_ == nullptr) return;
  std::vector<KvStream*> stalled;
  std::vector<grpc::ServerUnaryReactor*> held;
  {
    const MutexLock lock(mutex_);
    stalled.swap(stalled_);
    held.swap(held_maps_);
  }
  for (KvStream* stream : stalled) stream->End();
  for (grpc::ServerUnaryReactor* reactor : held) {
    reactor->Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopped"));
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeKvServer::Services::Resume() {
  std::vector<KvStream*> stalled;
  {
    const MutexLock lock(mutex_);
    stalled.swap(stalled_);
  }
  for (KvStream* stream : stalled) stream->Resume();
}

FakeKvServer::Services::Reaction FakeKvServer::Services::React(const v1::Request& request,
                                                               v1::Response* response) {
  using Kind = FakeReaction::Kind;
  const MutexLock lock(mutex_);
  requests_.push_back(request);
  FakeReaction reaction;
  if (script_) reaction = script_(request);
  if (reaction.kind == Kind::kServe || reaction.kind == Kind::kServeThenDrop) {
    Serve(request, response);
  } else {
    *response = std::move(reaction.response);
  }
  response->set_id(request.id());
  return {.answer = reaction.kind == Kind::kServe || reaction.kind == Kind::kAnswer,
          .drop = reaction.kind == Kind::kDrop || reaction.kind == Kind::kServeThenDrop,
          .stall = reaction.kind == Kind::kStall};
}

// Every value has one version here.
void FakeKvServer::Services::ServeCompareAndSet(const v1::CompareAndSetRequest& set,
                                                v1::Response* response) {
  const auto it = contents_.find(set.key());
  const uint64_t version = it != contents_.end() ? kFirstStamp : 0;
  const v1::Condition& condition = set.condition();
  const bool holds = condition.has_version()  ? condition.version() == version
                     : condition.has_absent() ? condition.absent() == (version == 0)
                                              : version != 0 && it->second == condition.value();
  response->mutable_write()->set_version(holds ? stamp_ : version);
  response->set_outcome(holds ? v1::OUTCOME_APPLIED : v1::OUTCOME_NOT_APPLIED);
  if (holds) {
    contents_[set.key()] = set.value();
  } else {
    response->set_code(v1::CODE_CONDITION_FAILED);
  }
}

void FakeKvServer::Services::Serve(const v1::Request& request, v1::Response* response) {
  response->set_clock(++stamp_);
  switch (request.operation_case()) {
    case v1::Request::kGet: {
      const auto it = contents_.find(request.get().key());
      v1::GetResult* get = response->mutable_get();
      get->set_found(it != contents_.end());
      if (it != contents_.end()) get->set_value(it->second);
      get->set_version(it != contents_.end() ? kFirstStamp : 0);
      break;
    }
    case v1::Request::kPut:
      contents_[request.put().key()] = request.put().value();
      response->mutable_write()->set_version(stamp_);
      response->set_outcome(v1::OUTCOME_APPLIED);
      break;
    case v1::Request::kDelete:
      response->mutable_write()->set_existed(contents_.erase(request.delete_().key()) > 0);
      response->mutable_write()->set_version(stamp_);
      response->set_outcome(v1::OUTCOME_APPLIED);
      break;
    case v1::Request::kCompareAndSet:
      ServeCompareAndSet(request.compare_and_set(), response);
      break;
    case v1::Request::kIncrement: {
      std::string& value = contents_[request.increment().key()];
      const int64_t number = (value.empty() ? 0 : std::stoll(value)) + request.increment().by();
      value = std::to_string(number);
      response->mutable_write()->set_number(number);
      response->mutable_write()->set_version(stamp_);
      response->set_outcome(v1::OUTCOME_APPLIED);
      break;
    }
    case v1::Request::kScan:
      ServeScan(request, response->mutable_scan());
      break;
    case v1::Request::kClock:  // as set above
      break;
    case v1::Request::kSetVersionRetention:
      response->set_outcome(v1::OUTCOME_APPLIED);
      break;
    case v1::Request::kOutcome:   // of scripts
    case v1::Request::kOneShard:  // transactions are tested against real nodes
    case v1::Request::kCommit:
    case v1::Request::kValidate:
    case v1::Request::OPERATION_NOT_SET:
      response->set_code(v1::CODE_INVALID);
      break;
  }
}

// Shards are told apart by the key's length, not by slots: enough to be disjoint.
bool FakeKvServer::Services::Owns(const v1::Request& request, const std::string& key) {
  const uint64_t shards = std::max(1, map_.shards_size());
  return key.size() % shards + 1 == request.shard_id();
}

void FakeKvServer::Services::ServeScan(const v1::Request& request, v1::ScanResult* result) {
  const v1::ScanRequest& scan = request.scan();
  result->set_reverse(scan.reverse());
  if (scan.reverse()) {
    ServeReverseScan(request, result);
    return;
  }
  uint32_t rows = 0;
  for (auto it = contents_.lower_bound(scan.from()); it != contents_.end(); ++it) {
    if (!scan.to().empty() && it->first >= scan.to()) break;
    if (!Owns(request, it->first)) continue;
    if (rows == kRowsPerPage) {
      result->set_resume(it->first);
      return;
    }
    ++rows;
    result->set_count(rows);
    if (scan.count_only()) continue;
    v1::Row* row = result->add_rows();
    row->set_key(it->first);
    if (!scan.keys_only()) row->set_value(it->second);
    row->set_version(kFirstStamp);
  }
}

void FakeKvServer::Services::ServeReverseScan(const v1::Request& request, v1::ScanResult* result) {
  const v1::ScanRequest& scan = request.scan();
  auto it = scan.to().empty() ? contents_.end() : contents_.lower_bound(scan.to());
  while (it != contents_.begin()) {
    --it;
    if (it->first < scan.from()) break;
    if (!Owns(request, it->first)) continue;
    if (result->count() == kRowsPerPage) {
      result->set_resume(result->rows(kRowsPerPage - 1).key());
      return;
    }
    result->set_count(result->count() + 1);
    v1::Row* row = result->add_rows();
    row->set_key(it->first);
    if (!scan.keys_only()) row->set_value(it->second);
    row->set_version(kFirstStamp);
  }
}

void FakeKvServer::Services::FillStatus(v1::StatusReply* reply) {
  const MutexLock lock(mutex_);
  reply->set_version("0.0.0");
  reply->set_node_id(node_id_);
  reply->set_cluster_id(map_.cluster_id());
  reply->set_ready(!map_.cluster_id().empty());
  for (const v1::ShardDescriptor& shard : map_.shards()) {
    v1::ReplicaStatus* replica = reply->add_replicas();
    replica->set_shard_id(shard.shard_id());
    replica->set_role("leader");
    replica->set_applied_index(7);
    replica->set_applied_hash(0xfeed);
  }
}

FakeKvServer::FakeKvServer(uint64_t node_id)
    : node_id_(node_id), services_(std::make_unique<Services>(node_id)) {
  services_->Start(0, &port_);
}

FakeKvServer::~FakeKvServer() { Stop(); }

std::string FakeKvServer::address() const { return "127.0.0.1:" + std::to_string(port_); }

void FakeKvServer::SetMap(const v1::ClusterMap& map) {
  const MutexLock lock(services_->mutex_);
  services_->map_ = map;
}

void FakeKvServer::SetScript(Script script) {
  const MutexLock lock(services_->mutex_);
  services_->script_ = std::move(script);
}

void FakeKvServer::SetMapSilent(bool silent) { services_->SetMapSilent(silent); }

void FakeKvServer::Resume() { services_->Resume(); }

void FakeKvServer::Stop() { services_->Stop(); }

void FakeKvServer::Restart() {
  int bound = 0;
  services_->Start(port_, &bound);
  BASALT_CHECK(bound == port_);
}

std::map<std::string, std::string> FakeKvServer::Contents() {
  const MutexLock lock(services_->mutex_);
  return services_->contents_;
}

std::vector<v1::Request> FakeKvServer::Requests() {
  const MutexLock lock(services_->mutex_);
  return services_->requests_;
}

size_t FakeKvServer::MapRequests() {
  const MutexLock lock(services_->mutex_);
  return services_->map_requests_;
}

int FakeKvServer::LargestBatch() {
  const MutexLock lock(services_->mutex_);
  return services_->largest_batch_;
}

v1::ClusterMap MapOf(const std::vector<FakeKvServer*>& servers, uint32_t shards) {
  v1::ClusterMap map;
  map.set_cluster_id("0123456789abcdef");
  for (const FakeKvServer* server : servers) {
    v1::NodeDescriptor* node = map.add_nodes();
    node->set_node_id(server->node_id());
    node->set_client_address(server->address());
  }
  const uint32_t slots = 16384 / shards;
  for (uint32_t i = 0; i < shards; ++i) {
    v1::ShardDescriptor* shard = map.add_shards();
    shard->set_shard_id(i + 1);
    shard->set_epoch(1);
    shard->set_first_slot(i * slots);
    shard->set_slot_count(i + 1 == shards ? 16384 - i * slots : slots);
    for (const FakeKvServer* server : servers) {
      v1::Replica* replica = shard->add_replicas();
      replica->set_replica_id(100 * (i + 1) + server->node_id());
      replica->set_node_id(server->node_id());
    }
    v1::LeaderHint* leader = map.add_leaders();
    leader->set_shard_id(i + 1);
    leader->set_node_id(servers.front()->node_id());
    leader->set_term(1);
  }
  return map;
}

v1::Response Refusal(v1::Code code, v1::Outcome outcome) {
  v1::Response response;
  response.set_code(code);
  response.set_outcome(outcome);
  response.set_message("scripted");
  return response;
}

}  // namespace basalt::client
