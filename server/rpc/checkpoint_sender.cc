#include "server/rpc/checkpoint_sender.h"

#include <algorithm>
#include <thread>

#include "base/status.h"
#include "raft/wire/checkpoint_wire.h"
#include "storage/checkpoint_files.h"
#include "storage/crc32c.h"

namespace basalt::server {
namespace {

constexpr size_t kPieceBytes = 256u << 10;

// How soon a sender that waits looks up.
constexpr std::chrono::milliseconds kLook{20};

absl::Status Stopped() { return base::Unavailable("called off"); }

bool Stops(const SendLimits& limits) { return limits.stop && limits.stop(); }

// Holds a sender to a rate, with a tenth of a second of slack.
class Pace {
 public:
  Pace(const SendLimits& limits, const Clock& clock)
      : limits_(limits), clock_(clock), start_(clock.Now()) {}

  void Wait(size_t bytes) {
    sent_ += bytes;
    if (limits_.bytes_per_second == 0) return;
    const auto due = std::chrono::nanoseconds(static_cast<int64_t>(
        static_cast<double>(sent_) / static_cast<double>(limits_.bytes_per_second) * 1e9));
    if (due - (clock_.Now() - start_) <= std::chrono::milliseconds(100)) return;
    for (;;) {
      const std::chrono::nanoseconds ahead = due - (clock_.Now() - start_);
      if (ahead.count() <= 0 || Stops(limits_)) return;
      std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(ahead, kLook));
    }
  }

 private:
  const SendLimits& limits_;
  const Clock& clock_;
  const MonotonicTime start_;
  uint64_t sent_ = 0;
};

// The call, one operation after the other. Each is cut off when it takes too long or when the
// sender is to stop; Finish comes last, and must.
class CheckpointCall {
 public:
  CheckpointCall(const std::shared_ptr<grpc::Channel>& channel, const SendLimits& limits,
                 const Clock& clock)
      : limits_(limits), clock_(clock), stub_(v1::Peer::NewStub(channel)) {
    writer_ = stub_->AsyncCheckpoint(&context_, &reply_, &operations_, nullptr);
    open_ = Await(limits_.stall_max);
  }
  ~CheckpointCall() {
    operations_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (operations_.Next(&tag, &ok)) {
    }
  }
  CheckpointCall(const CheckpointCall&) = delete;
  CheckpointCall& operator=(const CheckpointCall&) = delete;

  // False: the receiver wants no more, or the call was cut off; Finish tells.
  bool Write(const v1::CheckpointChunk& chunk) {
    if (!open_) return false;
    writer_->Write(chunk, nullptr);
    open_ = Await(limits_.stall_max);
    return open_;
  }

  absl::Status Finish() {
    if (open_) {
      writer_->WritesDone(nullptr);
      (void)Await(limits_.stall_max);
    }
    grpc::Status status;
    writer_->Finish(&status, nullptr);
    (void)Await(limits_.install_max);
    if (!cut_off_.ok()) return cut_off_;
    if (!status.ok()) return base::Unavailable(status.error_message());
    if (!reply_.installed()) return base::FailedPrecondition(reply_.refusal());
    return absl::OkStatus();
  }
  void Cancel() { context_.TryCancel(); }

 private:
  // Whether the operation under way succeeded.
  bool Await(std::chrono::milliseconds limit) {
    const MonotonicTime until = clock_.Now() + limit;
    for (;;) {
      void* tag = nullptr;
      bool ok = false;
      const auto looked_up = operations_.AsyncNext(
          &tag, &ok,
          std::chrono::system_clock::now() + std::min<std::chrono::milliseconds>(limit, kLook));
      if (looked_up == grpc::CompletionQueue::GOT_EVENT) return ok;
      if (!cut_off_.ok()) continue;  // it ends at once
      if (Stops(limits_)) {
        cut_off_ = Stopped();
      } else if (clock_.Now() >= until) {
        cut_off_ = base::Unavailable("the receiver stands still");
      }
      if (!cut_off_.ok()) context_.TryCancel();
    }
  }

  const SendLimits& limits_;
  const Clock& clock_;
  const std::unique_ptr<v1::Peer::Stub> stub_;
  grpc::CompletionQueue operations_;
  grpc::ClientContext context_;
  v1::CheckpointReply reply_;
  std::unique_ptr<grpc::ClientAsyncWriter<v1::CheckpointChunk>> writer_;
  bool open_ = false;
  absl::Status cut_off_;
};

void FillHeader(const OutgoingCheckpoint& checkpoint,
                const std::vector<storage::CheckpointFile>& list, v1::CheckpointHeader& header) {
  *header.mutable_hello() = checkpoint.hello;
  raft::Message message;
  message.group = checkpoint.group;
  message.from = checkpoint.from;
  message.to = checkpoint.to;
  message.term = checkpoint.term;
  message.body = raft::CheckpointArrived{checkpoint.base};
  raft::CheckpointToWire(message, header);
  for (const storage::CheckpointFile& file : list) {
    v1::CheckpointFile* added = header.add_files();
    added->set_name(file.name);
    added->set_size(file.size);
    added->set_crc32c(file.crc32c);
  }
}

}  // namespace

absl::Status SendCheckpointFiles(const std::shared_ptr<grpc::Channel>& channel,
                                 storage::FileSystem& files, const OutgoingCheckpoint& checkpoint,
                                 const SendLimits& limits, const Clock& clock) {
  BASALT_ASSIGN_OR_RETURN(const std::vector<storage::CheckpointFile> list,
                          storage::ListCheckpoint(files, checkpoint.directory, limits.stop));
  CheckpointCall call(channel, limits, clock);
  v1::CheckpointChunk chunk;
  FillHeader(checkpoint, list, *chunk.mutable_header());
  bool open = call.Write(chunk);
  Pace pace(limits, clock);
  for (uint32_t number = 0; open && number < list.size(); ++number) {
    for (uint64_t offset = 0; open && offset < list[number].size;) {
      absl::StatusOr<std::string> piece = storage::ReadCheckpointPiece(
          files, checkpoint.directory, list[number], offset, kPieceBytes);
      if (!piece.ok() || Stops(limits)) {
        call.Cancel();
        const absl::Status cancelled = call.Finish();
        return piece.ok() ? cancelled : piece.status();
      }
      chunk.Clear();
      chunk.set_file(number);
      chunk.set_offset(offset);
      chunk.set_crc32c(storage::Crc32c(*piece));
      offset += piece->size();
      pace.Wait(piece->size());
      chunk.set_bytes(*std::move(piece));
      open = call.Write(chunk);
    }
  }
  return call.Finish();
}

}  // namespace basalt::server
