#include "server/rpc/checkpoint_receiver.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "raft/wire/checkpoint_wire.h"
#include "server/rpc/polling_threads.h"
#include "storage/checkpoint_files.h"

namespace basalt::server {

// One stream. Reads run one after the other on gRPC's threads; the end may come from the loops, or
// from the read of another stream, which replaces this one. What is staged belongs to the reads
// until it is handed over, and to the install from then on: nobody else may take it away.
class CheckpointReceiver::Reception final : public grpc::ServerReadReactor<v1::CheckpointChunk>,
                                            public std::enable_shared_from_this<Reception> {
 public:
  Reception(CheckpointReceiver& receiver, v1::CheckpointReply* reply)
      : receiver_(receiver), reply_(reply) {}

  void Begin() {
    self_ = shared_from_this();
    StartRead(&chunk_);
  }

  // Another stream takes its place. The read under way ends with that, and removes what it staged.
  void GiveWay() { Answer("another stream of the shard's checkpoint took its place"); }

  void OnReadDone(bool ok) override {
    const PollingThreads::Blocking blocking;
    if (answered()) return RemoveStaged();
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
    BASALT_RETURN_IF_ERROR(
        staging_->Write(chunk_.file(), chunk_.offset(), chunk_.bytes(), chunk_.crc32c()));
    const uint64_t more = std::min<uint64_t>(to_come_, chunk_.bytes().size());
    to_come_ -= more;
    staged_ += more;
    return receiver_.MakeRoom(number_, staged_, to_come_);
  }

  absl::Status TakeHeader(const v1::CheckpointHeader& header) {
    if (std::string problem = receiver_.transport_.CheckHello(header.hello()); !problem.empty()) {
      return base::FailedPrecondition(problem);
    }
    const raft::NodeId self(receiver_.transport_.self().node().node_id());
    BASALT_ASSIGN_OR_RETURN(arrived_, raft::CheckpointFromWire(header, self));
    const CheckpointOffer offer{arrived_.group, arrived_.from, arrived_.term,
                                std::get<raft::CheckpointArrived>(arrived_.body).base.index};
    group_ = offer.group;
    BASALT_ASSIGN_OR_RETURN(number_, receiver_.Admit(offer, shared_from_this()));
    std::vector<storage::CheckpointFile> list;
    for (const v1::CheckpointFile& file : header.files()) {
      list.push_back({file.name(), file.size(), file.crc32c()});
      if (__builtin_add_overflow(to_come_, file.size(), &to_come_)) {
        return base::InvalidArgument("a checkpoint of more bytes than there are");
      }
    }
    BASALT_RETURN_IF_ERROR(receiver_.MakeRoom(number_, 0, to_come_));
    const std::string directory =
        receiver_.directory_ + "/" + std::to_string(group_.value()) + "-" + std::to_string(number_);
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
    if (!receiver_.BeginInstall(group_, number_)) return RemoveStaged();
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
    if (!handed_over_) RemoveStaged();
    receiver_.Release(group_, number_);  // whoever reads the answer may come again at once
    Answer(problem);
  }

  void RemoveStaged() {
    if (staging_ != nullptr) (void)receiver_.files_.RemoveTree(staging_->directory()).ok();
    receiver_.Removed(number_);
  }

  // The first one is what the sender gets.
  void Answer(const std::string& problem) BASALT_EXCLUDES(mutex_) {
    {
      base::MutexLock lock(mutex_);
      if (std::exchange(answered_, true)) return;
    }
    reply_->set_installed(problem.empty());
    reply_->set_refusal(problem);
    Finish(grpc::Status::OK);
  }
  bool answered() BASALT_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    return answered_;
  }

  CheckpointReceiver& receiver_;
  v1::CheckpointReply* reply_;  // gRPC's, until Finish; whoever answers first writes it
  std::shared_ptr<Reception> self_;
  v1::CheckpointChunk chunk_;
  raft::GroupId group_;
  uint64_t number_ = 0;       // 0: not taken
  uint64_t staged_ = 0;       // bytes
  uint64_t to_come_ = 0;      // likewise
  bool handed_over_ = false;  // no more reads
  raft::Message arrived_;
  std::unique_ptr<storage::CheckpointStaging> staging_;

  base::Mutex mutex_;
  bool answered_ BASALT_GUARDED_BY(mutex_) = false;
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

absl::StatusOr<uint64_t> CheckpointReceiver::Admit(const CheckpointOffer& offer,
                                                   const std::shared_ptr<Reception>& reception) {
  uint64_t number = 0;
  std::shared_ptr<Reception> replaced;
  {
    base::MutexLock lock(mutex_);
    BASALT_ASSIGN_OR_RETURN(const CheckpointReceptions::Admission admission,
                            receptions_.Admit(offer));
    number = admission.number;
    by_number_[number] = reception;
    if (auto old = by_number_.extract(admission.replaced)) replaced = old.mapped().lock();
    if (auto old = bytes_.extract(admission.replaced)) leaving_[old.key()] = old.mapped().staged;
  }
  if (replaced != nullptr) replaced->GiveWay();
  return number;
}

bool CheckpointReceiver::BeginInstall(raft::GroupId group, uint64_t number) {
  base::MutexLock lock(mutex_);
  return receptions_.BeginInstall(group, number);
}

void CheckpointReceiver::Release(raft::GroupId group, uint64_t number) {
  base::MutexLock lock(mutex_);
  receptions_.End(group, number);
  by_number_.erase(number);
  bytes_.erase(number);
  leaving_.erase(number);  // it may have been replaced when what it had staged was gone already
}

absl::Status CheckpointReceiver::MakeRoom(uint64_t number, uint64_t staged, uint64_t to_come) {
  // Before the disk is asked: what this one replaced and is removed meanwhile counts twice then,
  // and not never.
  const uint64_t leaving = Leaving();
  const absl::StatusOr<uint64_t> on_disk = files_.FreeBytes(directory_);
  base::MutexLock lock(mutex_);
  // Replaced: its read ends it. All of it is there: to refuse it would free nothing for long.
  if (!by_number_.contains(number)) return absl::OkStatus();
  bytes_[number] = {staged, to_come};
  if (!on_disk.ok() || to_come == 0) return absl::OkStatus();
  const uint64_t free = *on_disk + leaving;
  bool fits = free >= kept_free_;
  uint64_t left = fits ? free - kept_free_ : 0;
  for (const auto& [other, bytes] : bytes_) {
    fits = fits && bytes.to_come <= left;
    left -= std::min(left, bytes.to_come);
  }
  if (fits) return absl::OkStatus();
  bytes_.erase(number);
  leaving_[number] = staged;
  return base::ResourceExhausted(fmt::format(
      "no room: {} bytes are free, of which {} are kept free, and {} are yet to come of this "
      "checkpoint",
      free, kept_free_, to_come));
}

uint64_t CheckpointReceiver::Leaving() const {
  base::MutexLock lock(mutex_);
  uint64_t sum = 0;
  for (const auto& [number, bytes] : leaving_) sum += bytes;
  return sum;
}

void CheckpointReceiver::Removed(uint64_t number) {
  base::MutexLock lock(mutex_);
  leaving_.erase(number);
}

size_t CheckpointReceiver::under_way() const {
  base::MutexLock lock(mutex_);
  return receptions_.under_way();
}

}  // namespace basalt::server
