// PeerLink: this node's one line to another node. What is sent while a frame is being written
// gathers and leaves in the next one; what does not fit is dropped, as Raft allows.
#pragma once

#include <memory>
#include <vector>

#include "base/mutex.h"
#include "proto/peer.pb.h"
#include "server/clock/known_time.h"

namespace basalt::server {

// The sending half of a stream.
class FrameWriter {
 public:
  virtual ~FrameWriter() = default;
  // Takes over the frame's contents. True: it is on its way, and the next may follow; false: the
  // next is written after PeerLink::OnWritten. Never blocks, calls nothing back before it returns.
  virtual bool Write(v1::PeerFrame& frame) = 0;
  // Ends the stream soon.
  virtual void Shut() = 0;
};

// Thread-safe.
class PeerLink {
 public:
  // Holds so many bytes of messages that no frame has room for yet, at least those of one entry.
  static constexpr size_t kGatheredBytesMax = size_t{64} << 20;

  explicit PeerLink(const KnownTime& time, size_t gathered_bytes_max = kGatheredBytesMax)
      : time_(time), gathered_bytes_max_(gathered_bytes_max) {}
  // Every stream has been detached, the last one perhaps just now on its own thread.
  ~PeerLink() { const base::MutexLock lock(mutex_); }
  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  void Send(std::vector<v1::RaftMessage> messages) BASALT_EXCLUDES(mutex_);
  void Send(std::vector<v1::TxnMessage> messages) BASALT_EXCLUDES(mutex_);
  // What time this node knows, and what its own clock says, in a frame of its own; nothing while
  // another frame is being written: the next call tells it.
  void TellTime() BASALT_EXCLUDES(mutex_);

  // A stream whose hellos were exchanged takes the place of the one before. `process` is the
  // peer's. False: another process that calls itself this peer was heard a moment ago.
  bool Attach(std::shared_ptr<FrameWriter> writer, uint64_t process) BASALT_EXCLUDES(mutex_);
  void Detach(const FrameWriter* writer) BASALT_EXCLUDES(mutex_);
  void OnWritten(const FrameWriter* writer) BASALT_EXCLUDES(mutex_);
  void OnHeard(const FrameWriter* writer) BASALT_EXCLUDES(mutex_);

  bool IsCarriedBy(const FrameWriter* writer) const BASALT_EXCLUDES(mutex_);
  bool connected() const BASALT_EXCLUDES(mutex_);
  void Shut() BASALT_EXCLUDES(mutex_);
  uint64_t dropped_messages() const BASALT_EXCLUDES(mutex_);
  size_t gathered_bytes() const BASALT_EXCLUDES(mutex_);

 private:
  template <typename Message>
  void Gather(std::vector<Message>& messages, Message* (v1::PeerFrame::*add)(), size_t bytes_max)
      BASALT_EXCLUDES(mutex_);
  // Writes the frame, and what gathered meanwhile, until the stream is busy.
  void WriteOut(std::shared_ptr<FrameWriter> writer, v1::PeerFrame& frame) BASALT_EXCLUDES(mutex_);
  std::shared_ptr<FrameWriter> TakeFrame(v1::PeerFrame& frame) BASALT_REQUIRES(mutex_);

  const KnownTime& time_;
  const size_t gathered_bytes_max_;
  mutable base::Mutex mutex_;
  std::shared_ptr<FrameWriter> writer_ BASALT_GUARDED_BY(mutex_);
  uint64_t process_ BASALT_GUARDED_BY(mutex_) = 0;
  MonotonicTime heard_ BASALT_GUARDED_BY(mutex_){};
  bool writing_ BASALT_GUARDED_BY(mutex_) = false;
  v1::PeerFrame gathered_ BASALT_GUARDED_BY(mutex_);
  size_t gathered_bytes_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t dropped_messages_ BASALT_GUARDED_BY(mutex_) = 0;
};

}  // namespace basalt::server
