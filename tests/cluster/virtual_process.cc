#include "tests/cluster/virtual_process.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "raft/wire/raft_wire.h"
#include "server/shard/shard_commands.h"
#include "storage/crc32c.h"

namespace basalt::testing {
namespace {

constexpr milliseconds kTick{50};
constexpr milliseconds kMaintenance{250};
constexpr seconds kTransferTimeout{2};
constexpr size_t kPieceBytes = 1024;

const std::string kLogDirectory = "/log";
const std::string kShardsDirectory = "/shards";
const std::string kCheckpointsDirectory = "/checkpoints";
const std::string kIncomingDirectory = "/incoming";

uint64_t ReplicaOn(const v1::ShardDescriptor& shard, uint64_t node) {
  for (const v1::Replica& replica : shard.replicas()) {
    if (replica.node_id() == node) return replica.replica_id();
  }
  return 0;
}

raft::Configuration ConfigurationOf(const v1::ShardDescriptor& shard) {
  raft::Configuration configuration;
  for (const v1::Replica& replica : shard.replicas()) {
    configuration.members.push_back({raft::ReplicaId(replica.replica_id()),
                                     raft::NodeId(replica.node_id()), raft::MemberRole::kVoter});
  }
  return configuration;
}

}  // namespace

VirtualProcess::VirtualProcess(const ProcessOptions& options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      random_(options.seed),
      clock_(ports_.time, milliseconds(random_.Between(0, 4000))),
      engines_(ports_.disk, {.flush_every_bytes = options.flush_every_bytes}),
      apply_loop_({*this, clock_,
                   [this](uint64_t shard_id) {
                     v1::LeaderHint hint;
                     hint.set_shard_id(shard_id);
                     hint.set_node_id(leaders_[raft::GroupId(shard_id)].value());
                     return hint;
                   },
                   [](const absl::Status& why) { BASALT_CHECK_MSG(false, base::Message(why)); }}) {}

VirtualProcess::~VirtualProcess() = default;

absl::Status VirtualProcess::Start(const v1::ClusterMap& layout) {
  for (const std::string& directory :
       {kShardsDirectory, kCheckpointsDirectory, kIncomingDirectory}) {
    BASALT_RETURN_IF_ERROR(ports_.disk.CreateDirectory(directory));
  }
  for (const std::string& staging : {kCheckpointsDirectory, kIncomingDirectory}) {
    BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ports_.disk.List(staging));
    for (const std::string& name : names) {
      BASALT_RETURN_IF_ERROR(ports_.disk.RemoveTree(std::string(staging).append("/").append(name)));
    }
  }
  BASALT_RETURN_IF_ERROR(ports_.disk.SyncDirectory("/"));
  BASALT_RETURN_IF_ERROR(OpenLog(layout));
  server::GroupLoopOptions loop_options;
  loop_options.retained_log_bytes = options_.retained_log_bytes;
  loop_options.ticks_per_compaction_check = 4;
  group_loop_ = std::make_unique<server::GroupLoop>(
      loop_options, server::GroupLoop::Ports{*this, *log_, *this, *this, *this, clock_},
      server::HybridClock(clock_.WallMilliseconds(), clock_.Now()));
  for (const v1::ShardDescriptor& shard : layout.shards()) {
    const uint64_t replica_id = ReplicaOn(shard, options_.node);
    if (replica_id == 0) continue;
    BASALT_RETURN_IF_ERROR(OpenReplica(shard, replica_id));
    BASALT_RETURN_IF_ERROR(AddGroup(raft::GroupId(shard.shard_id())));
  }
  ports_.after(milliseconds(random_.Between(0, 50)), [this] { Tick(); });
  ports_.after(kMaintenance, [this] { Maintain(); });
  return absl::OkStatus();
}

absl::Status VirtualProcess::OpenLog(const v1::ClusterMap& layout) {
  storage::RaftLogOptions log_options;
  log_options.segment_bytes = options_.segment_bytes;
  log_options.copy_segment_bytes_max = options_.segment_bytes / 4;
  log_options.identity_for_new_log = options_.node;
  auto log = storage::RaftLog::Open(ports_.disk, kLogDirectory, log_options);
  BASALT_RETURN_IF_ERROR(log.status());
  const std::vector<raft::GroupId> known = (*log)->Groups();
  std::vector<storage::NewGroup> created;
  for (const v1::ShardDescriptor& shard : layout.shards()) {
    const uint64_t replica_id = ReplicaOn(shard, options_.node);
    const raft::GroupId group(shard.shard_id());
    if (replica_id == 0 || std::find(known.begin(), known.end(), group) != known.end()) continue;
    BASALT_ASSIGN_OR_RETURN(
        const bool exists,
        storage::ReplicaStore::Exists(ports_.disk, ReplicaDirectory(shard, replica_id)));
    if (exists) return base::DataLoss("a replica that the log does not know");
    created.push_back(
        {group, raft::ReplicaId(replica_id), raft::LogBase{{}, {}, ConfigurationOf(shard)}});
  }
  if (!created.empty()) BASALT_RETURN_IF_ERROR((*log)->CreateGroups(created));
  log_ = std::make_unique<VirtualLog>(VirtualLog::Ports{ports_.disk, ports_.after, *this, random_},
                                      *std::move(log), options_.segment_bytes);
  return absl::OkStatus();
}

std::string VirtualProcess::ReplicaDirectory(const v1::ShardDescriptor& shard,
                                             uint64_t replica_id) const {
  return kShardsDirectory + "/" + std::to_string(shard.shard_id()) + "-" +
         std::to_string(replica_id);
}

absl::Status VirtualProcess::OpenReplica(const v1::ShardDescriptor& shard, uint64_t replica_id) {
  const std::string directory = ReplicaDirectory(shard, replica_id);
  const storage::ReplicaStore::Ports store_ports{ports_.disk, engines_};
  BASALT_ASSIGN_OR_RETURN(const bool exists, storage::ReplicaStore::Exists(ports_.disk, directory));
  if (!exists) {
    BASALT_RETURN_IF_ERROR(server::ReplicaStateMachine::Create(
        store_ports, directory, shard, server::FoundingConfiguration(shard)));
  }
  auto commands = std::make_unique<server::ShardCommands>(
      server::ShardCommandsOptions{.check_every_key = true});
  BASALT_ASSIGN_OR_RETURN(
      auto machine,
      server::ReplicaStateMachine::Open(store_ports, directory, std::move(commands), &apply_loop_));
  apply_loop_.AddReplica(*machine);
  machines_.emplace(raft::GroupId(shard.shard_id()), std::move(machine));
  return absl::OkStatus();
}

absl::Status VirtualProcess::AddGroup(raft::GroupId group) {
  BASALT_ASSIGN_OR_RETURN(raft::RecoveredLog log, log_->log().Recover(group));
  const server::ReplicaStateMachine& machine = *machines_.at(group);
  raft::CoreOptions core_options;
  core_options.group = group;
  core_options.self = log.replica;
  core_options.node = raft::NodeId(options_.node);
  selves_[group] = log.replica;
  core_options.seed = options_.seed + group.value();
  core_options.memory_bytes_max = 4u << 10;  // so that older entries are fetched
  core_options.check_thoroughly = true;
  core_options.leases = true;
  core_options.election_timeout =
      raft::Time(core_options.election_timeout_ticks *
                 static_cast<uint64_t>(server::MonotonicTime(kTick).count()));
  core_options.lease_duration = raft::LeaseDuration(core_options.election_timeout, 20);
  core_options.disk_stall = core_options.election_timeout;
  core_options.life = random_.Next();
  raft::RecoveredState recovered;
  recovered.hard_state = log.hard_state;
  recovered.base = std::move(log.base);
  recovered.entries = std::move(log.entries);
  recovered.applied = machine.applied();
  if (recovered.applied.index < recovered.base.index) {
    return base::DataLoss("the state machine ends before the log begins");
  }
  group_loop_->AddGroup(core_options, std::move(recovered), machine.highest_stamp(), false);
  return absl::OkStatus();
}

// How long a thread needs to wake up; now and then the machine has something better to do.
server::MonotonicTime VirtualProcess::Pause() {
  return microseconds(random_.Between(1, random_.OneIn(500) ? 50'000 : 40));
}

void VirtualProcess::Put(server::GroupEvent event) {
  group_events_.push_back(std::move(event));
  PlanGroupRound();
}

void VirtualProcess::PlanGroupRound() {
  if (std::exchange(group_round_planned_, true)) return;
  ports_.after(Pause(), [this] { GroupRound(); });
}

void VirtualProcess::GroupRound() {
  group_round_planned_ = false;
  for (server::GroupEvent& event : std::exchange(group_events_, {})) {
    group_loop_->Handle(std::move(event));
  }
  group_loop_->FinishTurn();
}

void VirtualProcess::Put(server::ApplyWork work) {
  apply_works_.push_back(std::move(work));
  PlanApplyRound();
}

void VirtualProcess::PutQuietly(server::ApplyWork work) { apply_works_.push_back(std::move(work)); }

void VirtualProcess::PlanApplyRound() {
  if (std::exchange(apply_round_planned_, true)) return;
  ports_.after(Pause(), [this] { ApplyRound(); });
}

void VirtualProcess::ApplyRound() {
  apply_round_planned_ = false;
  for (server::ApplyWork& work : std::exchange(apply_works_, {})) {
    const bool installs = std::holds_alternative<server::InstallCheckpoint>(work);
    apply_loop_.Handle(std::move(work));
    if (installs && !dead()) ports_.observer.OnInstalled(options_.node);
    apply_loop_.Handle(server::AppliedStatesAsked{[this](auto states) {
      for (const server::AppliedState& state : states) {
        if (!dead()) ports_.observer.OnApplied(options_.node, state);
      }
    }});
  }
  apply_loop_.FinishRound();
}

void VirtualProcess::Tick() {
  ports_.after(kTick, [this] { Tick(); });
  group_events_.push_back(server::TickPassed{});
  GroupRound();
  // The apply thread looks at what was put quietly twice a second at least.
  PlanApplyRound();
}

void VirtualProcess::Maintain() {
  for (const auto& pinning : log_->log().GroupsPinning()) machines_.at(pinning.group)->Flush();
  for (const auto& [group, machine] : machines_) {
    Put(server::GroupEvent(server::StateFlushed{group, selves_.at(group), machine->flushed()}));
  }
  ports_.after(kMaintenance, [this] { Maintain(); });
}

void VirtualProcess::OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) {
  leaders_[group] = leader;
  if (leader.value() == options_.node && !dead()) {
    ports_.observer.OnLeads(options_.node, group, term);
  }
}

void VirtualProcess::OnDurable(std::span<const raft::PersistDone> done) {
  Put(server::GroupEvent(server::WritesPersisted{{done.begin(), done.end()}}));
}

void VirtualProcess::Send(std::vector<raft::Message> messages) {
  if (dead()) return;
  for (const raft::Message& message : messages) {
    v1::RaftMessage encoded;
    raft::ToWire(message, encoded);
    const uint64_t to = message.to_node.value();
    ports_.network.Send(
        options_.node, to, [&others = ports_.others, to, bytes = encoded.SerializeAsString()] {
          others.Visit(to, 0, [bytes](VirtualProcess& there) { there.ReceiveMessage(bytes); });
        });
  }
}

void VirtualProcess::ReceiveMessage(const std::string& bytes) {
  v1::RaftMessage encoded;
  BASALT_CHECK(encoded.ParseFromString(bytes));
  auto message = raft::FromWire(std::move(encoded), raft::NodeId(options_.node));
  BASALT_CHECK_MSG(message.ok(), base::Message(message.status()));
  server::PeerMessagesArrived arrived;
  arrived.messages.push_back(*std::move(message));
  Put(server::GroupEvent(std::move(arrived)));
}

std::vector<server::GroupState> VirtualProcess::States() {
  std::vector<server::GroupState> result;
  group_loop_->Handle(server::StatesAsked{
      [&](std::vector<server::GroupState> states) { result = std::move(states); }});
  return result;
}

void VirtualProcess::Put(server::FeedWork work) {
  if (auto* fetch = std::get_if<server::FetchForFollower>(&work)) {
    ports_.after(Pause(), [this, fetch = *fetch] { Fetch(fetch); });
  } else {
    ports_.after(Pause(), [this, send = std::get<server::CheckpointForFollower>(work)] {
      MakeCheckpoint(send);
    });
  }
}

void VirtualProcess::Fetch(const server::FetchForFollower& work) {
  if (log_->IsPending(work.group)) {
    ports_.after(microseconds(200), [this, work] { Fetch(work); });
    return;
  }
  const raft::FetchEntries& fetch = work.fetch;
  auto entries = log_->Read(work.group, fetch.first, fetch.last, fetch.bytes_max);
  if (!entries.ok()) {
    // Its own entries must be there; a follower's may be gone.
    BASALT_CHECK(fetch.follower != work.self);
    BASALT_CHECK_MSG(entries.status().code() == absl::StatusCode::kNotFound,
                     base::Message(entries.status()));
    entries = std::vector<raft::Entry>();
  }
  Put(server::GroupEvent(server::EntriesFetched{work.group, fetch.follower, *std::move(entries)}));
}

void VirtualProcess::MakeCheckpoint(const server::CheckpointForFollower& work) {
  machines_.at(work.group)->Flush();
  const uint64_t transfer = next_checkpoint_++;
  auto outgoing =
      std::make_shared<Outgoing>(Outgoing{ports_.network,
                                          ports_.others,
                                          options_.node,
                                          options_.life,
                                          transfer,
                                          work.group,
                                          work.self,
                                          work.term,
                                          work.send,
                                          {},
                                          kCheckpointsDirectory + "/" + std::to_string(transfer),
                                          {}});
  Put(server::ApplyWork(server::WithStateMachine{
      work.group, [this, outgoing](raft::StateMachine* machine) {
        auto base = machine->CreateCheckpoint(outgoing->directory);
        BASALT_CHECK_MSG(base.ok(), base::Message(base.status()));
        outgoing->base = *base;
        ports_.after(Pause(), [this, outgoing] { BeginSending(outgoing); });
      }}));
}

void VirtualProcess::Outgoing::Answer(std::function<void(VirtualProcess&)> event) const {
  network.SendOnce(send.node.value(), sender,
                   [&to = others, node = sender, life = sender_life, event = std::move(event)] {
                     to.Visit(node, life, event);
                   });
}

void VirtualProcess::BeginSending(const std::shared_ptr<Outgoing>& outgoing) {
  auto list = storage::ListCheckpoint(ports_.disk, outgoing->directory);
  BASALT_CHECK_MSG(list.ok(), base::Message(list.status()));
  outgoing->list = *std::move(list);
  sending_.insert(outgoing->transfer);
  ports_.after(kTransferTimeout, [this, outgoing] { EndSending(*outgoing, false); });
  SendPiece(outgoing, 0, 0);
}

// One piece at a time; the receiver's word for one lets the next go.
void VirtualProcess::SendPiece(const std::shared_ptr<const Outgoing>& outgoing, size_t file,
                               uint64_t offset) {
  if (!sending_.contains(outgoing->transfer)) return;
  if (file == outgoing->list.size()) return SendEnd(outgoing);
  auto bytes = storage::ReadCheckpointPiece(ports_.disk, outgoing->directory, outgoing->list[file],
                                            offset, kPieceBytes);
  BASALT_CHECK_MSG(bytes.ok(), base::Message(bytes.status()));
  Piece piece{file, offset, *bytes, storage::Crc32c(*bytes)};
  if (random_.OneIn(200) && !piece.bytes.empty()) piece.bytes[0] ^= 1;
  const uint64_t end = offset + bytes->size();
  const bool whole = end == outgoing->list[file].size;
  const size_t next_file = whole ? file + 1 : file;
  const uint64_t next_offset = whole ? 0 : end;
  const uint64_t to = outgoing->send.node.value();
  const auto arrival = [outgoing, next_file, next_offset,
                        piece = std::move(piece)](VirtualProcess& there) {
    const bool taken = there.ReceivePiece(*outgoing, piece);
    if (there.dead()) return;
    outgoing->Answer([outgoing, taken, next_file, next_offset](VirtualProcess& sender) {
      if (!taken) return sender.EndSending(*outgoing, false);
      sender.SendPiece(outgoing, next_file, next_offset);
    });
  };
  ports_.network.SendOnce(options_.node, to,
                          [&others = ports_.others, to, arrival] { others.Visit(to, 0, arrival); });
}

void VirtualProcess::SendEnd(const std::shared_ptr<const Outgoing>& outgoing) {
  const uint64_t to = outgoing->send.node.value();
  const auto arrival = [outgoing](VirtualProcess& there) {
    there.ReceiveEnd(*outgoing, [outgoing](const std::string& problem) {
      outgoing->Answer([outgoing, installed = problem.empty()](VirtualProcess& sender) {
        sender.EndSending(*outgoing, installed);
      });
    });
  };
  ports_.network.SendOnce(options_.node, to,
                          [&others = ports_.others, to, arrival] { others.Visit(to, 0, arrival); });
}

void VirtualProcess::EndSending(const Outgoing& outgoing, bool installed) {
  if (sending_.erase(outgoing.transfer) == 0) return;
  BASALT_CHECK(ports_.disk.RemoveTree(outgoing.directory).ok());
  std::optional<raft::LogIndex> index;
  if (installed) index = outgoing.base.index;
  Put(server::GroupEvent(server::CheckpointSent{outgoing.group, outgoing.send.follower, index}));
}

bool VirtualProcess::ReceivePiece(const Outgoing& outgoing, const Piece& piece) {
  Incoming& incoming = receiving_[outgoing.group];
  if (piece.file == 0 && piece.offset == 0) {
    // What broke off is thrown away by the next one.
    if (incoming.staging != nullptr) {
      BASALT_CHECK(ports_.disk.RemoveTree(incoming.staging->directory()).ok());
    }
    auto staging = storage::CheckpointStaging::Start(
        ports_.disk, kIncomingDirectory + "/" + std::to_string(next_checkpoint_++), outgoing.list);
    BASALT_CHECK_MSG(staging.ok(), base::Message(staging.status()));
    incoming = {outgoing.sender_life, outgoing.transfer, *std::move(staging)};
  }
  return IsFrom(incoming, outgoing) &&
         incoming.staging->Write(piece.file, piece.offset, piece.bytes, piece.crc32c).ok();
}

bool VirtualProcess::IsFrom(const Incoming& incoming, const Outgoing& outgoing) {
  return incoming.staging != nullptr && incoming.sender_life == outgoing.sender_life &&
         incoming.transfer == outgoing.transfer;
}

void VirtualProcess::ReceiveEnd(const Outgoing& outgoing,
                                std::function<void(const std::string&)> done) {
  Incoming& incoming = receiving_[outgoing.group];
  if (!IsFrom(incoming, outgoing) || !incoming.staging->Whole()) {
    return done("the stream broke off");
  }
  const auto staging = std::exchange(incoming.staging, nullptr);
  BASALT_CHECK(staging->Finish().ok());
  raft::Message message;
  message.group = outgoing.group;
  message.from = outgoing.self;
  message.to = outgoing.send.follower;
  message.term = outgoing.term;
  message.body = raft::CheckpointArrived{outgoing.base};
  Put(server::GroupEvent(server::CheckpointStaged{
      std::move(message), staging->directory(),
      [this, directory = staging->directory(), done = std::move(done)](const std::string& problem) {
        if (!problem.empty()) ports_.disk.RemoveTree(directory).IgnoreError();
        if (!dead()) done(problem);
      }}));
}

}  // namespace basalt::testing
