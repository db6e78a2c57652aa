#include "tests/cluster/virtual_clients.h"

#include <algorithm>
#include <utility>

#include "base/slot.h"

namespace basalt::testing {
namespace {

using Kind = check::OperationKind;

constexpr milliseconds kTimeout{1000};
// Deadlines are looked at with every tick; a stalled thread needs a little longer.
constexpr milliseconds kPatience{1800};

std::string EncodeWrite(const check::Operation& operation) {
  v1::Command command;
  if (operation.kind == Kind::kPut) {
    command.mutable_put()->set_key(operation.key);
    command.mutable_put()->set_value(*operation.value);
  } else {
    command.mutable_delete_()->set_key(operation.key);
  }
  return server::EncodeCommandElement(command);
}

check::Outcome OutcomeOf(const v1::Response& response) {
  switch (response.outcome()) {
    case v1::OUTCOME_APPLIED:
      return check::Outcome::kApplied;
    case v1::OUTCOME_NOT_APPLIED:
      return check::Outcome::kNotApplied;
    default:
      return check::Outcome::kUnknown;
  }
}

// A version of 0 is none.
std::optional<uint64_t> VersionOf(uint64_t version) {
  return version == 0 ? std::nullopt : std::optional(version);
}

}  // namespace

// Where a process hands in its answers.
class VirtualClients::Door final : public server::ReplySink {
 public:
  Door(VirtualClients& clients, VirtualProcess& process, std::shared_ptr<Call> call)
      : clients_(clients), process_(process), call_(std::move(call)) {}

  void Deliver(std::vector<v1::Response> responses) override {
    if (process_.dead()) return;
    for (v1::Response& response : responses) {
      if (std::exchange(call_->answered, true)) clients_.ports_.violation("answered twice");
      clients_.ports_.network.SendOnce(
          call_->node, kClients,
          [&clients = clients_, call = call_, response = std::move(response)] {
            clients.OnAnswer(*call, response);
          });
    }
  }

 private:
  VirtualClients& clients_;
  VirtualProcess& process_;
  const std::shared_ptr<Call> call_;
};

VirtualClients::VirtualClients(Ports ports, server::RoutingTable routing, uint64_t nodes,
                               base::Random random)
    : ports_(std::move(ports)), routing_(std::move(routing)), nodes_(nodes), random_(random) {}

void VirtualClients::Start(size_t clients, size_t keys) {
  keys_ = keys;
  for (size_t client = 0; client < clients; ++client) {
    ports_.time.After(milliseconds(random_.Between(0, 100)), [this, client] { Begin(client); });
  }
}

server::MonotonicTime VirtualClients::NewestWrite(uint64_t shard_id) const {
  server::MonotonicTime newest{};
  for (const check::Operation& operation : history_) {
    const uint64_t owner = routing_.OwnerOf(base::SlotOf(operation.key)).shard_id;
    if (owner == shard_id && operation.writes() && operation.applied()) {
      newest = std::max(newest, server::MonotonicTime(operation.invoked_ns));
    }
  }
  return newest;
}

void VirtualClients::Begin(size_t client) {
  if (stopped_) return;
  check::Operation operation;
  operation.client = client;
  operation.key = "key-" + std::to_string(random_.Below(keys_));
  const uint64_t dice = random_.Below(10);
  operation.kind = dice < 5 ? Kind::kPut : dice < 6 ? Kind::kDelete : Kind::kGet;
  if (operation.kind == Kind::kPut) {
    std::string value = "value-" + std::to_string(history_.size()) + "-";
    value.resize(random_.Between(20, 400), '.');
    operation.value = std::move(value);
  }
  operation.invoked_ns = ports_.time.Now().count();
  const uint64_t shard_id = routing_.OwnerOf(base::SlotOf(operation.key)).shard_id;
  uint64_t& leader = leaders_[{client, shard_id}];
  if (leader == 0 || random_.OneIn(20)) leader = random_.Between(1, nodes_);
  auto call = std::make_shared<Call>(Call{client, history_.size(), leader});
  history_.push_back(std::move(operation));
  ports_.network.SendOnce(kClients, call->node, [this, call] {
    // Nobody listens: the connection is refused. What becomes of the call is unknown to it.
    if (!ports_.nodes.Visit(call->node, 0,
                            [this, call](VirtualProcess& there) { Arrive(call, there); })) {
      End(*call, milliseconds(random_.Between(5, 30)));
    }
  });
  ports_.time.After(kTimeout + kPatience, [this, call] { OnTimeout(call); });
}

void VirtualClients::Arrive(const std::shared_ptr<Call>& call, VirtualProcess& there) {
  call->life = there.life();
  const check::Operation& operation = history_[call->operation];
  const raft::GroupId group(routing_.OwnerOf(base::SlotOf(operation.key)).shard_id);
  auto sink = std::make_shared<Door>(*this, there, call);
  const server::MonotonicTime deadline = ports_.time.Now() + kTimeout;
  if (operation.writes()) {
    server::WritesArrived arrived{group, {}};
    arrived.writes.push_back({sink, nullptr, call->operation, deadline, EncodeWrite(operation)});
    there.Put(server::GroupEvent(std::move(arrived)));
  } else {
    server::ReadsArrived arrived{group, {}};
    v1::Request request;
    request.set_id(call->operation);
    request.mutable_get()->set_key(operation.key);
    arrived.reads.push_back({sink, nullptr, deadline, std::move(request)});
    there.Put(server::GroupEvent(std::move(arrived)));
  }
}

void VirtualClients::OnAnswer(Call& call, const v1::Response& response) {
  if (call.ended) return;  // too late for the client
  check::Operation& operation = history_[call.operation];
  if (response.id() != call.operation) ports_.violation("an answer to another question");
  operation.responded_ns = ports_.time.Now().count();
  if (operation.writes()) {
    operation.outcome = OutcomeOf(response);
    operation.version = VersionOf(response.write().version());
    if (response.outcome() == v1::OUTCOME_UNSPECIFIED) ports_.violation("a write without outcome");
    if (response.message().find("another entry") != std::string::npos) ++replaced_;
  } else if (response.code() == v1::CODE_OK) {
    operation.outcome = check::Outcome::kApplied;
    operation.version = VersionOf(response.get().version());
    if (response.get().found()) operation.value = response.get().value();
  }
  if (response.has_leader()) {
    leaders_[{call.client, response.leader().shard_id()}] = response.leader().node_id();
  }
  const bool served = response.code() == v1::CODE_OK;
  End(call, served ? microseconds(random_.Between(100, 8000))
                   : microseconds(random_.Between(5000, 40000)));
}

void VirtualClients::OnTimeout(const std::shared_ptr<Call>& call) {
  const uint64_t life = call->life;
  if (!call->answered && life != 0) {
    // One that stood still is given some time after it woke up.
    ports_.nodes.Visit(call->node, life, [this, call, life](VirtualProcess&) {
      ports_.time.After(kPatience, [this, call, life] {
        ports_.nodes.Visit(call->node, life, [this, call](VirtualProcess&) {
          if (!call->answered) ports_.violation("never answered");
        });
      });
    });
  }
  if (!call->ended) End(*call, microseconds(0));
}

void VirtualClients::End(Call& call, server::MonotonicTime think) {
  call.ended = true;
  if (!history_[call.operation].responded_ns) {
    const uint32_t slot = base::SlotOf(history_[call.operation].key);
    leaders_[{call.client, routing_.OwnerOf(slot).shard_id}] = 0;
  }
  ports_.time.After(think, [this, client = call.client] { Begin(client); });
}

}  // namespace basalt::testing
