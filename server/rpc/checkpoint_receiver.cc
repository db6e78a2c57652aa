#include "server/rpc/checkpoint_receiver.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "raft/wire/checkpoint_wire.h"
#include "storage/checkpoint_files.h"

namespace basalt::server {

// One stream. Reads run one after the other on gRPC's threads; the end may come from the loops.
// What is staged belongs to the reads until it is handed over, and to the install from then on:
// nobody else may take it away.
class CheckpointReceiver::Reception final : public grpc::ServerReadReactor<v1::CheckpointChunk>,
                                            public std::enable_shared_from_this<Reception> {
 public:
  Reception(CheckpointReceiver& receiver, v1::CheckpointReply* reply)
      : receiver_(receiver), reply_(reply) {}

  ~Reception() override {
    if (reserved_) receiver_.Release(group_);
  }

  void Begin() {
    self_ = shared_from_this();
    StartRead(&chunk_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return HandOver();
    if (absl::Status status = TakeChunk(); !status.ok()) return End(base::Message(status));
    chunk_.Clear();
    StartRead(&chunk_);
  }

  // The read under way ends with an error and finishes the stream; an install that began goes on.
  void OnCancel() override {}
  void OnDone() override { self_.reset(); }

 private:
  absl::Status TakeChunk() {
    if (staging_ == nullptr) {
      if (!chunk_.has_header()) return base::InvalidArgument("the first chunk has no header");
      return TakeHeader(chunk_.header());
    }
    return staging_->Write(chunk_.file(), chunk_.offset(), chunk_.bytes(), chunk_.crc32c());
  }

  absl::Status TakeHeader(const v1::CheckpointHeader& header) {
    if (std::string problem = receiver_.transport_.CheckHello(header.hello()); !problem.empty()) {
      return base::FailedPrecondition(problem);
    }
    if (!receiver_.Reserve(header.group())) {
      return base::Unavailable("another checkpoint of the shard is under way");
    }
    reserved_ = true;
    group_ = header.group();
    const raft::NodeId self(receiver_.transport_.self().node().node_id());
    BASALT_ASSIGN_OR_RETURN(arrived_, raft::CheckpointFromWire(header, self));
    std::vector<storage::CheckpointFile> list;
    for (const v1::CheckpointFile& file : header.files()) {
      list.push_back({file.name(), file.size(), file.crc32c()});
    }
    const std::string directory = receiver_.directory_ + "/" + std::to_string(group_) + "-" +
                                  std::to_string(receiver_.next_number_.fetch_add(1));
    BASALT_ASSIGN_OR_RETURN(
        staging_, storage::CheckpointStaging::Start(receiver_.files_, directory, std::move(list)));
    return absl::OkStatus();
  }

  // The sender is through.
  void HandOver() {
    if (staging_ == nullptr) return End("no header came");
    if (!staging_->Whole()) return End("the stream broke off");
    if (absl::Status status = staging_->Finish(); !status.ok()) {
      return End(base::Message(status));
    }
    handed_over_ = true;
    receiver_.groups_.Put(CheckpointStaged{std::move(arrived_), staging_->directory(),
                                           [self = shared_from_this()](const std::string& problem) {
                                             self->OnInstallEnded(problem);
                                           }});
  }

  // On a loop's thread.
  void OnInstallEnded(const std::string& problem) {
    receiver_.Discard(staging_->directory());
    End(problem);
  }

  // `problem` empty: installed.
  void End(const std::string& problem) {
    if (staging_ != nullptr && !handed_over_) {
      (void)receiver_.files_.RemoveTree(staging_->directory()).ok();
    }
    reply_->set_installed(problem.empty());
    reply_->set_refusal(problem);
    Finish(grpc::Status::OK);
  }

  CheckpointReceiver& receiver_;
  v1::CheckpointReply* reply_;  // gRPC's, until Finish
  std::shared_ptr<Reception> self_;
  v1::CheckpointChunk chunk_;
  uint64_t group_ = 0;
  bool reserved_ = false;
  bool handed_over_ = false;  // no more reads
  raft::Message arrived_;
  std::unique_ptr<storage::CheckpointStaging> staging_;
};

grpc::ServerReadReactor<v1::CheckpointChunk>* CheckpointReceiver::Accept(
    v1::CheckpointReply* reply) {
  auto reception = std::make_shared<Reception>(*this, reply);
  reception->Begin();
  return reception.get();
}

void CheckpointReceiver::Discard(std::string directory) {
  base::MutexLock lock(mutex_);
  discarded_.push_back(std::move(directory));
}

void CheckpointReceiver::RemoveDiscarded() {
  std::vector<std::string> discarded;
  {
    base::MutexLock lock(mutex_);
    discarded.swap(discarded_);
  }
  for (const std::string& directory : discarded) {
    (void)files_.RemoveTree(directory).ok();  // else the next start does
  }
}

bool CheckpointReceiver::Reserve(uint64_t group) {
  base::MutexLock lock(mutex_);
  return receiving_.insert(group).second;
}

void CheckpointReceiver::Release(uint64_t group) {
  base::MutexLock lock(mutex_);
  receiving_.erase(group);
}

}  // namespace basalt::server
