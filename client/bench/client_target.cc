#include "client/bench/client_target.h"

#include <utility>

namespace basalt::bench {

using base::MutexLock;

ClientTarget::ClientTarget(Client* client, const CallOptions& options, uint32_t scan_threads)
    : client_(client), options_(options) {
  threads_.reserve(scan_threads);
  for (uint32_t i = 0; i < scan_threads; ++i) threads_.emplace_back([this] { RunScans(); });
}

ClientTarget::~ClientTarget() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void ClientTarget::Put(const std::string& key, const std::string& value, PutDone done) {
  client_->PutAsync(key, value, std::move(done), options_);
}

void ClientTarget::Get(const std::string& key, GetDone done) {
  client_->GetAsync(
      key,
      [done = std::move(done)](Result<std::optional<Value>> value) {
        if (!value.ok()) {
          done(value.status());
        } else if (!value->has_value()) {
          done(std::optional<std::string>());
        } else {
          done(std::optional<std::string>(std::move((*value)->bytes)));
        }
      },
      options_);
}

void ClientTarget::Scan(const std::string& from, const std::string& to, uint64_t limit,
                        ScanDone done) {
  ScanOptions scan{.from = from, .to = to, .limit = limit};
  const MutexLock lock(mutex_);
  scans_.emplace_back(
      [this, scan = std::move(scan), done = std::move(done)] { done(CountRows(scan)); });
  changed_.NotifyOne();
}

void ClientTarget::RunScans() {
  while (true) {
    std::function<void()> scan;
    {
      const MutexLock lock(mutex_);
      while (scans_.empty() && !stopping_) changed_.Wait(mutex_);
      if (scans_.empty()) return;
      scan = std::move(scans_.front());
      scans_.pop_front();
    }
    scan();
  }
}

Result<uint64_t> ClientTarget::CountRows(const ScanOptions& scan) {
  RowStream rows = client_->Scan(scan, options_);
  uint64_t count = 0;
  while (rows.Next().has_value()) ++count;
  if (!rows.status().ok()) return rows.status();
  return count;
}

}  // namespace basalt::bench
