// Dispatch: from decoded client requests to the loops that serve them.
//
// Checks each request against the limits and the routing table, and hands what passes to the group
// loop, one message per group. What does not pass is answered at once, as "not applied"; so are
// gets of groups that this node holds a lease of: they are read here, on the thread that brings
// them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proto/client.pb.h"
#include "proto/command.pb.h"
#include "server/node/cluster_view.h"
#include "server/node/lease_reads.h"
#include "server/node/request_budget.h"
#include "server/node/work.h"
#include "server/shard/shard_reads.h"

namespace basalt::server {

inline constexpr size_t kKeyBytesMax = 4096;
inline constexpr size_t kValueBytesMax = 8u << 20;

// Thread-safe; outlived by what its constructor is given.
class Dispatch {
 public:
  struct Options {
    std::chrono::milliseconds default_timeout{5000};
    std::chrono::milliseconds timeout_max{60000};
  };

  struct Ports {
    const ClusterView& view;
    GroupInbox& inbox;
    RequestBudget& budget;
    const Clock& clock;
    LeaseReads& lease_reads;
    RequestObserver* observer = nullptr;  // of reads answered here
  };

  Dispatch(const Options& options, Ports ports) : options_(options), ports_(ports) {}

  // Every request gets exactly one response through `sink`, in any order, at latest soon after its
  // deadline.
  void Handle(const std::shared_ptr<ReplySink>& sink, std::vector<v1::Request> requests);

  RequestBudget& budget() const { return ports_.budget; }

  // From now on every new request is refused as unavailable.
  void Stop() { stopped_.store(true); }
  // Whether this node belongs to a cluster whose map it is about to load. Until it is told, it
  // answers as if it does: "come back" instead of "form a cluster".
  void SetFormed(bool formed) { formed_.store(formed); }
  // The disk is nearly full: reads only.
  void SetReadOnly(bool read_only) { read_only_.store(read_only); }

 private:
  struct Sorted;
  void Sort(const std::shared_ptr<ReplySink>& sink, const std::shared_ptr<RequestCharge>& charge,
            const ClusterView::Known& known, v1::Request request, Sorted& sorted);
  void ServeByLease(Sorted& sorted);
  void AnswerGets(const LeaseReads::Opened& opened, raft::GroupId group,
                  std::vector<PendingRead>& reads, Sorted& sorted);
  void ReportServed(Sorted& sorted);

  const Options options_;
  const Ports ports_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> formed_{true};
  std::atomic<bool> read_only_{false};
};

}  // namespace basalt::server
