// Connection: the link to one node. Any thread may call it.
//
// One bidirectional stream carries the requests of all threads: while one message is being
// written, what comes meanwhile gathers into the next (bounded in requests and bytes), so batches
// grow with load and nobody waits for a timer. In unary mode every request is an RPC of its own.
//
// A link is opened by asking the node for its map: only when that answer has come are requests
// written, so that what meets a closed port is known never to have left. Whether a link that broke
// is worth another try, and when, is the dispatcher's to say (CircuitBreaker).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "basalt/result.h"
#include "client/call.h"
#include "client/router.h"
#include "client/wire.h"

namespace basalt::client {

// Called on gRPC's threads with no lock held; calls for one connection may overlap.
class ConnectionObserver {
 public:
  virtual ~ConnectionObserver() = default;
  // May empty `answers`.
  virtual void OnAnswers(uint64_t node_id, std::vector<Answer>& answers) = 0;
  // It answered when it was asked whether it lives, or as its link was opened.
  virtual void OnAlive(uint64_t node_id) = 0;
  // There is no link; these, if any, never left.
  virtual void OnUnsent(uint64_t node_id, const std::vector<uint64_t>& send_ids) = 0;
  // These left, one by one, and no answer will come (unary mode).
  virtual void OnSendsLost(uint64_t node_id, const std::vector<uint64_t>& send_ids) = 0;
  // The stream broke: all that is open there but `unsent` may have arrived.
  virtual void OnLinkBroken(uint64_t node_id, const std::vector<uint64_t>& unsent) = 0;
  // Came along when the link was opened or checked.
  virtual void OnMap(const ClusterView& view) = 0;
};

struct ConnectionOptions {
  uint64_t node_id = 0;  // 0: an endpoint whose node is not known; FetchMap only
  std::string address;
  bool unary = false;
  ClientId client_id;
};

class Connection {
 public:
  // `observer` outlives it.
  Connection(ConnectionOptions options, ConnectionObserver* observer);
  ~Connection();  // closes
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Cancels what is open and waits until none of its callbacks is under way. What is asked of it
  // from here on fails. Not from inside a callback; may be called again.
  void Close();

  const std::string& address() const;

  // Takes the sends along with the next message, opening the link if there is none. Returns those
  // turned back: it is closed.
  std::vector<uint64_t> Enqueue(const std::vector<Send>& sends);
  // Takes back those that have not begun to be written, and returns them.
  std::vector<uint64_t> Withdraw(const std::vector<uint64_t>& send_ids);
  // Starts writing what Enqueue gathered, unless a write is under way.
  void Flush();
  // Asks whether the node lives; if no answer comes within a second, breaks the link.
  void Probe();
  // The same in every mode, and without a link it opens one. Its end is told by OnAlive, OnUnsent
  // or OnLinkBroken within a second or two. While one is under way, another makes it hurry.
  void Try();
  // `done` gets the node's map, which may be of no cluster, or why there is none.
  void FetchMap(std::chrono::milliseconds timeout, std::function<void(Result<ClusterView>)> done);

 private:
  class Channel;
  class Stream;
  struct Stub;

  std::unique_ptr<Stub> stub_;
  std::shared_ptr<Channel> channel_;
};

}  // namespace basalt::client
