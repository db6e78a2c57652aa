#include "tests/bench/workpiece.h"

#include <set>
#include <utility>

#include "base/slot.h"
#include "proto/command.pb.h"
#include "tests/bench/stage.h"

namespace basalt::bench {
namespace {

void SetNumber(v1::CommandId& id, uint64_t sequence) {
  id.set_client_high(0x0123456789abcdef);
  id.set_client_low(0xfedcba9876543210);
  id.set_sequence(sequence);
  id.set_lowest_open(sequence > kBatch ? sequence - kBatch : 1);
  id.set_issued(sequence);
}

v1::Request MakePut(uint64_t id, std::string key, std::string value) {
  v1::Request request;
  request.set_id(id);
  request.set_shard_id(ShardOf(key));
  request.set_shard_epoch(3);
  request.set_timeout_ms(5000);
  SetNumber(*request.mutable_command_id(), id);
  request.mutable_put()->set_key(std::move(key));
  request.mutable_put()->set_value(std::move(value));
  return request;
}

v1::Request MakeGet(uint64_t id, std::string key) {
  v1::Request request;
  request.set_id(id);
  request.set_shard_id(ShardOf(key));
  request.set_shard_epoch(3);
  request.set_timeout_ms(5000);
  request.mutable_get()->set_key(std::move(key));
  return request;
}

}  // namespace

std::string RandomBytes(base::Random& random, size_t bytes) {
  std::string text(bytes, ' ');
  for (char& letter : text) letter = static_cast<char>('a' + random.Below(26));
  return text;
}

std::vector<std::string> MakeKeys(base::Random& random, size_t count, uint32_t slots) {
  std::set<std::string> keys;
  while (keys.size() < count) {
    std::string key = RandomBytes(random, kKeyBytes);
    if (base::SlotOf(key) < slots) keys.insert(std::move(key));
  }
  return {keys.begin(), keys.end()};
}

std::vector<std::string> Draw(base::Random& random, const std::vector<std::string>& keys) {
  std::vector<std::string> drawn;
  while (drawn.size() < kBatch) drawn.push_back(keys[random.Below(keys.size())]);
  return drawn;
}

uint64_t ShardOf(std::string_view key) { return base::SlotOf(key) < base::kSlotCount / 2 ? 1 : 2; }

std::vector<v1::Request> MakePuts(base::Random& random, const std::vector<std::string>& keys) {
  std::vector<v1::Request> requests;
  for (std::string& key : Draw(random, keys)) {
    requests.push_back(
        MakePut(requests.size() + 1, std::move(key), RandomBytes(random, kValueBytes)));
  }
  return requests;
}

std::vector<v1::Request> MakeGets(base::Random& random, const std::vector<std::string>& keys) {
  std::vector<v1::Request> requests;
  for (std::string& key : Draw(random, keys)) {
    requests.push_back(MakeGet(requests.size() + 1, std::move(key)));
  }
  return requests;
}

std::string MakeCommands(base::Random& random, const std::vector<std::string>& keys,
                         uint64_t first_stamp) {
  v1::CommandBatch batch;
  batch.set_first_stamp(first_stamp);
  for (const std::string& key : keys) {
    v1::Command& command = *batch.add_commands();
    SetNumber(*command.mutable_id(), first_stamp + batch.commands_size() - 1);
    command.mutable_put()->set_key(key);
    command.mutable_put()->set_value(RandomBytes(random, kValueBytes));
  }
  return batch.SerializeAsString();
}

}  // namespace basalt::bench
