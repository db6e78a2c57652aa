// ClientTarget: Basalt by its client library, on streams or with one RPC a call, as the client is
// set up.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"
#include "client/bench/target.h"

namespace basalt::bench {

class ClientTarget : public Target {
 public:
  // `client` outlives it. The library's scans block, so `threads` of them run at once and the
  // others wait, which their latency includes.
  ClientTarget(Client* client, const CallOptions& options, uint32_t threads);
  ~ClientTarget() override;

  void Put(const std::string& key, const std::string& value, PutDone done) override;
  void Get(const std::string& key, GetDone done) override;
  void Scan(const std::string& from, const std::string& to, uint64_t limit, ScanDone done) override;
  void Transact(const std::vector<std::string>& keys, Change change, PutDone done) override;

 private:
  void Enqueue(std::function<void()> call);
  void RunCalls();
  Result<uint64_t> CountRows(const ScanOptions& scan);

  Client* const client_;
  const CallOptions options_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<std::function<void()>> calls_ BASALT_GUARDED_BY(mutex_);
  bool stopping_ BASALT_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace basalt::bench
