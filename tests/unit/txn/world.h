// World: shards and clients of the explorer, a network between them, and one random schedule of
// everything that can happen, from a seed. In some worlds messages are lost and doubled, leaders
// crash, shards are cut off, outcomes are forgotten as soon as may be; in calm ones nothing of it
// happens, and no deadline may pass.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/unit/txn/explorer_client.h"
#include "tests/unit/txn/shard_server.h"

namespace basalt::txn {

class World : public Network {
 public:
  explicit World(uint64_t seed);

  // Empty, or what is wrong.
  std::string Run();

  const Reached& reached() const { return reached_; }
  const Told& told() const { return stage_.told; }
  uint64_t transactions() const { return stage_.history.size(); }

  void Send(Address from, Address to, Content content) override;
  Address OwnerOf(Slot slot) const override;

 private:
  void MakeKeys();
  void Step();
  bool DeliverOne();
  bool CommitOne();
  void Fault();
  void BeginOne();
  void PassTime();
  bool IsFinished() const;
  std::string Stuck() const;
  std::string Judge() const;
  bool IsCut(const Message& message) const;

  base::Random random_;
  const bool calm_;
  const bool lossy_;
  const bool crashy_;
  const bool cutting_;
  const bool forgetful_;
  const bool hasty_;
  const bool crowded_;
  const size_t slow_;  // the place of a kind of messages in Content; beyond its end: none
  bool healing_ = false;
  uint64_t to_begin_;  // what clients shall still begin
  Milliseconds now_ = 0;
  Reached reached_;
  Stage stage_;
  std::vector<Message> in_flight_;
  std::vector<std::unique_ptr<ShardServer>> shards_;
  std::vector<bool> cut_;
  std::vector<std::unique_ptr<ExplorerClient>> clients_;
};

}  // namespace basalt::txn
