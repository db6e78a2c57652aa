#include "server/rpc/peer_link.h"

#include <utility>

namespace basalt::server {
namespace {

// A live peer is heard in this time: its heartbeats, and TellTime once a second.
constexpr MonotonicTime kHeardRecently = std::chrono::seconds(2);

}  // namespace

void PeerLink::Send(std::vector<v1::RaftMessage> messages) {
  Gather(messages, &v1::PeerFrame::add_messages, gathered_bytes_max_);
}

void PeerLink::Send(std::vector<v1::TxnMessage> messages) {
  // Raft always finds room: a Prepare is as large as its transaction and is sent again.
  Gather(messages, &v1::PeerFrame::add_transactions, gathered_bytes_max_ / 2);
}

void PeerLink::TellTime() {
  v1::PeerFrame frame;
  std::shared_ptr<FrameWriter> writer;
  {
    base::MutexLock lock(mutex_);
    if (writing_ || writer_ == nullptr) return;
    frame.set_time_ms(time_.Milliseconds());
    frame.set_clock_ms(time_.OwnMilliseconds());
    writing_ = true;
    writer = writer_;
  }
  WriteOut(std::move(writer), frame);
}

template <typename Message>
void PeerLink::Gather(std::vector<Message>& messages, Message* (v1::PeerFrame::*add)(),
                      size_t bytes_max) {
  std::vector<size_t> sizes;
  sizes.reserve(messages.size());
  for (const Message& message : messages) sizes.push_back(message.ByteSizeLong());
  v1::PeerFrame frame;
  std::shared_ptr<FrameWriter> writer;
  {
    base::MutexLock lock(mutex_);
    for (size_t i = 0; i < messages.size(); ++i) {
      // Each for itself: one turn of many groups that lag may be larger than all the room there is,
      // and would be so again when it is repeated.
      // One that finds nothing gathered may take all the room: it would never get through else.
      const size_t room = gathered_bytes_ == 0 ? gathered_bytes_max_ : bytes_max;
      if (writer_ == nullptr || gathered_bytes_ + sizes[i] > room) {
        ++dropped_messages_;
        continue;
      }
      gathered_bytes_ += sizes[i];
      (gathered_.*add)()->Swap(&messages[i]);
    }
    writer = TakeFrame(frame);
  }
  WriteOut(std::move(writer), frame);
}

void PeerLink::WriteOut(std::shared_ptr<FrameWriter> writer, v1::PeerFrame& frame) {
  while (writer != nullptr && writer->Write(frame)) {
    frame.Clear();
    base::MutexLock lock(mutex_);
    if (writer_ != writer) return;
    writing_ = false;
    writer = TakeFrame(frame);
  }
}

std::shared_ptr<FrameWriter> PeerLink::TakeFrame(v1::PeerFrame& frame) {
  if (writing_ || writer_ == nullptr) return nullptr;
  if (gathered_.messages_size() == 0 && gathered_.transactions_size() == 0) return nullptr;
  frame.Swap(&gathered_);
  frame.set_time_ms(time_.Milliseconds());
  gathered_bytes_ = 0;
  writing_ = true;
  return writer_;
}

bool PeerLink::Attach(std::shared_ptr<FrameWriter> writer, uint64_t process) {
  std::shared_ptr<FrameWriter> old;
  {
    base::MutexLock lock(mutex_);
    const MonotonicTime now = time_.clock().Now();
    if (writer_ != nullptr && process_ != process && now - heard_ < kHeardRecently) return false;
    old = std::exchange(writer_, std::move(writer));
    process_ = process;
    heard_ = now;
    writing_ = false;
    gathered_.Clear();
    gathered_bytes_ = 0;
  }
  if (old != nullptr) old->Shut();
  return true;
}

void PeerLink::Detach(const FrameWriter* writer) {
  base::MutexLock lock(mutex_);
  if (writer_.get() != writer) return;
  writer_ = nullptr;
  writing_ = false;
  gathered_.Clear();
  gathered_bytes_ = 0;
}

void PeerLink::OnWritten(const FrameWriter* writer) {
  v1::PeerFrame frame;
  std::shared_ptr<FrameWriter> next;
  {
    base::MutexLock lock(mutex_);
    if (writer_.get() != writer) return;
    writing_ = false;
    next = TakeFrame(frame);
  }
  WriteOut(std::move(next), frame);
}

void PeerLink::OnHeard(const FrameWriter* writer) {
  base::MutexLock lock(mutex_);
  if (writer_.get() == writer) heard_ = time_.clock().Now();
}

bool PeerLink::IsCarriedBy(const FrameWriter* writer) const {
  base::MutexLock lock(mutex_);
  return writer_.get() == writer;
}

bool PeerLink::connected() const {
  base::MutexLock lock(mutex_);
  return writer_ != nullptr;
}

void PeerLink::Shut() {
  std::shared_ptr<FrameWriter> writer;
  {
    base::MutexLock lock(mutex_);
    writer = std::exchange(writer_, nullptr);
  }
  if (writer != nullptr) writer->Shut();
}

size_t PeerLink::gathered_bytes() const {
  base::MutexLock lock(mutex_);
  return gathered_bytes_;
}

uint64_t PeerLink::dropped_messages() const {
  base::MutexLock lock(mutex_);
  return dropped_messages_;
}

}  // namespace basalt::server
