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

// Holds a sender to a rate, with a tenth of a second of slack.
class Pace {
 public:
  Pace(uint64_t bytes_per_second, const Clock& clock)
      : bytes_per_second_(bytes_per_second), clock_(clock), start_(clock.Now()) {}

  void Wait(size_t bytes) {
    sent_ += bytes;
    if (bytes_per_second_ == 0) return;
    const auto due = std::chrono::nanoseconds(static_cast<int64_t>(
        static_cast<double>(sent_) / static_cast<double>(bytes_per_second_) * 1e9));
    const auto ahead = due - (clock_.Now() - start_);
    if (ahead > std::chrono::milliseconds(100)) std::this_thread::sleep_for(ahead);
  }

 private:
  const uint64_t bytes_per_second_;
  const Clock& clock_;
  const MonotonicTime start_;
  uint64_t sent_ = 0;
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
                          storage::ListCheckpoint(files, checkpoint.directory));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limits.timeout);
  v1::CheckpointReply reply;
  const std::unique_ptr<v1::Peer::Stub> stub = v1::Peer::NewStub(channel);
  const auto writer = stub->Checkpoint(&context, &reply);
  v1::CheckpointChunk chunk;
  FillHeader(checkpoint, list, *chunk.mutable_header());
  bool open = writer->Write(chunk);
  Pace pace(limits.bytes_per_second, clock);
  absl::Status read_status;
  for (uint32_t number = 0; open && number < list.size(); ++number) {
    for (uint64_t offset = 0; open && offset < list[number].size;) {
      absl::StatusOr<std::string> piece = storage::ReadCheckpointPiece(
          files, checkpoint.directory, list[number], offset, kPieceBytes);
      if (!piece.ok()) {
        read_status = piece.status();
        open = false;
        break;
      }
      chunk.Clear();
      chunk.set_file(number);
      chunk.set_offset(offset);
      chunk.set_crc32c(storage::Crc32c(*piece));
      offset += piece->size();
      pace.Wait(piece->size());
      chunk.set_bytes(*std::move(piece));
      open = writer->Write(chunk);
      if (limits.stop != nullptr && limits.stop->load()) open = false;
    }
  }
  if (!open && !read_status.ok()) context.TryCancel();
  if (limits.stop != nullptr && limits.stop->load()) context.TryCancel();
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  BASALT_RETURN_IF_ERROR(read_status);
  if (!status.ok()) return base::Unavailable(status.error_message());
  if (!reply.installed()) return base::FailedPrecondition(reply.refusal());
  return absl::OkStatus();
}

}  // namespace basalt::server
