#include "client/bench/client_target.h"

#include <utility>

namespace basalt::bench {

using base::MutexLock;

ClientTarget::ClientTarget(Client* client, const CallOptions& options, uint32_t threads)
    : client_(client), options_(options) {
  threads_.reserve(threads);
  for (uint32_t i = 0; i < threads; ++i) threads_.emplace_back([this] { RunCalls(); });
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
  Enqueue([this, scan = std::move(scan), done = std::move(done)] { done(CountRows(scan)); });
}

void ClientTarget::Transact(const std::vector<std::string>& keys, Change change, PutDone done) {
  client_->TransactAsync(
      [keys, change = std::move(change)](Transaction& transaction) -> Status {
        Result<Values> read = transaction.MultiGet(keys);
        if (!read.ok()) return read.status();
        std::vector<std::optional<std::string>> values;
        for (std::optional<Value>& value : *read) {
          values.emplace_back();
          if (value) values.back() = std::move(value->bytes);
        }
        const std::vector<std::string> changed = change(values);
        for (size_t i = 0; i < keys.size(); ++i) transaction.Put(keys[i], changed[i]);
        return Status();
      },
      std::move(done), options_);
}

void ClientTarget::Enqueue(std::function<void()> call) {
  const MutexLock lock(mutex_);
  calls_.push_back(std::move(call));
  changed_.NotifyOne();
}

void ClientTarget::RunCalls() {
  while (true) {
    std::function<void()> call;
    {
      const MutexLock lock(mutex_);
      while (calls_.empty() && !stopping_) changed_.Wait(mutex_);
      if (calls_.empty()) return;
      call = std::move(calls_.front());
      calls_.pop_front();
    }
    call();
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
