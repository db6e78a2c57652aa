#include "raft/core/follower_progress.h"

#include <algorithm>

namespace basalt::raft {

void FollowerProgress::BecomeProbe(LogIndex from) {
  mode = Mode::kProbe;
  next = std::max(from, match + 1);
  window.Clear();
  probe_sent = false;
  resend_empty = false;
}

void FollowerProgress::BecomeCheckpoint() {
  mode = Mode::kCheckpoint;
  window.Clear();
  probe_sent = false;
  resend_empty = false;
}

void FollowerProgress::Accepted(LogIndex index) {
  match = std::max(match, index);
  next = std::max(next, match + 1);
  if (mode == Mode::kReplicate) {
    window.ReleaseUpTo(match);
  } else if (mode == Mode::kProbe && index + 1 >= next) {
    mode = Mode::kReplicate;
    next = match + 1;
    probe_sent = false;
  }
}

bool FollowerProgress::IsNews(LogIndex refused) const {
  switch (mode) {
    case Mode::kProbe:
      return refused + 1 == next && refused > match;
    case Mode::kReplicate:
      return refused > match;
    case Mode::kCheckpoint:
      return false;
  }
  return false;
}

void FollowerProgress::Sent(LogIndex last, size_t bytes) {
  if (mode == Mode::kProbe) {
    probe_sent = true;
    return;
  }
  if (last >= next) {
    window.Push(last, bytes);
    next = last + 1;
  }
}

bool FollowerProgress::MaySendEntries(const CoreOptions& options) const {
  switch (mode) {
    case Mode::kProbe:
      return !probe_sent;
    case Mode::kReplicate:
      return !fetching && window.size() < options.inflight_appends_max &&
             window.bytes() < options.inflight_bytes_max;
    case Mode::kCheckpoint:
      return false;
  }
  return false;
}

}  // namespace basalt::raft
