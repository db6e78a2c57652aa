// EtcdTarget: etcd by its public gRPC API, one unary call an operation, as etcd's clients do it.
//
// Calls are spread over the endpoints in turn, with one connection for each endpoint that is named:
// the same address named three times makes three connections to it. With `txn_puts` above 1, puts
// gather in transactions of so many; one goes out with fewer only when none is under way. etcd
// refuses two puts of one key in a transaction, so callers have keys of their own.
//
// Transact is one Txn that compares one key (it must exist) and puts all; it reads none.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "basalt/result.h"
#include "client/bench/target.h"

namespace basalt::bench {

struct EtcdOptions {
  std::vector<std::string> endpoints;
  std::chrono::milliseconds timeout{5000};  // to connect, and of each call
  uint32_t txn_puts = 1;
};

class EtcdTarget : public Target {
 public:
  // Returns once all connections stand.
  static Result<std::unique_ptr<EtcdTarget>> Connect(const EtcdOptions& options);
  ~EtcdTarget() override;

  void Put(const std::string& key, const std::string& value, PutDone done) override;
  void Get(const std::string& key, GetDone done) override;
  void Scan(const std::string& from, const std::string& to, uint64_t limit, ScanDone done) override;
  void Transact(const std::vector<std::string>& keys, Change change, PutDone done) override;

  // Transactions that were sent, and the puts in them.
  uint64_t txns() const;
  uint64_t puts_in_txns() const;

 private:
  class Calls;

  explicit EtcdTarget(std::unique_ptr<Calls> calls);

  std::unique_ptr<Calls> calls_;
};

}  // namespace basalt::bench
