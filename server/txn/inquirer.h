// Inquirer: what a leader does about locks that nobody ends: of each transaction whose locks it has
// seen for a second it asks the owner of the anchor slot, again and again, and ends them as it is
// told. With it no lock stays for ever, whoever dies.
//
// Lives as long as a leadership, like Coordinator. Pure; one owner.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "server/txn/commands.h"
#include "server/txn/inquiry.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

struct InquirerOptions {
  Milliseconds ask_after = 1000;  // since this leader first saw the locks
  Milliseconds ask_again = 1000;
};

struct InquirerEffects {
  std::vector<TxnId> asks;         // the owner of the anchor slot, maybe this shard
  std::vector<Resolve> proposals;  // in this shard
};

class Inquirer {
 public:
  // `state` is the shard's and outlives this.
  Inquirer(const ShardState* state, const InquirerOptions& options)
      : state_(*state), options_(options) {}

  void OnTick(Milliseconds now);
  void OnAnswer(const TxnId& id, const InquiryAnswer& answer);

  InquirerEffects TakeEffects() { return std::exchange(effects_, {}); }

 private:
  const ShardState& state_;
  const InquirerOptions options_;
  std::map<TxnId, Milliseconds> ask_at_;  // of each transaction that has locks
  InquirerEffects effects_;
};

}  // namespace basalt::txn
