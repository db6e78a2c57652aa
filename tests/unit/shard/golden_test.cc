// The bytes of docs/formats.md, "Entries", "State rows" and "Checkpoint": on disks and in the logs
// of every release. A change here needs a new operation or field, not a new meaning of an old one.
#include <gtest/gtest.h>

#include <string>

#include "proto/peer.pb.h"
#include "tests/unit/engine/hex.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using testing::ToHex;

TEST(GoldenBytes, CommandBatch) {
  v1::CommandBatch batch;
  batch.set_first_stamp(0x0000018bcfe56800);
  v1::Command& put = *batch.add_commands();
  put.mutable_id()->set_client_high(1);
  put.mutable_id()->set_client_low(2);
  put.mutable_id()->set_sequence(3);
  put.mutable_id()->set_lowest_open(2);
  put.mutable_id()->set_issued(0x0000018bcfe56000);
  put.mutable_put()->set_key("k");
  put.mutable_put()->set_value("v");
  batch.add_commands()->mutable_delete_()->set_key("k");
  batch.add_commands()->mutable_form_cluster()->set_map("m");
  batch.add_commands()->mutable_set_node()->set_node("n");
  batch.add_commands()->mutable_advance_horizon()->set_horizon(0x0000018bcfe50000);
  const std::string golden =
      "090068e5cf8b01000012290a1f0901000000000000001102000000000000001803200229"
      "0060e5cf8b01000052060a016b12017612055a030a016b1206f201030a016d1206fa0103"
      "0a016e120ca201090900"
      "00e5cf8b010000";
  EXPECT_EQ(ToHex(batch.SerializeAsString()), golden);
}

TEST(GoldenBytes, ConditionalCommandsAndForgetting) {
  v1::CommandBatch batch;
  const auto add_compare_and_set = [&]() -> v1::Condition& {
    v1::CompareAndSetCommand& command = *batch.add_commands()->mutable_compare_and_set();
    command.set_key("k");
    command.set_value("w");
    return *command.mutable_condition();
  };
  add_compare_and_set().set_value("v");
  add_compare_and_set().set_absent(true);
  add_compare_and_set().set_version(0x0000018bcfe50000);
  v1::IncrementCommand& increment = *batch.add_commands()->mutable_increment();
  increment.set_key("k");
  increment.set_by(-2);
  v1::ForgetSessionsCommand& forget = *batch.add_commands()->mutable_forget_sessions();
  forget.set_through(0x0000018bcfe50000);
  forget.set_bytes_max(1000);
  const std::string golden =
      "120d620b0a016b12030a01761a0177120c620a0a016b120210011a0177121362110a016b"
      "1209190000e5cf8b0100001a017712076a050a016b1003120faa010c090000e5cf8b0100"
      "0010e807";
  EXPECT_EQ(ToHex(batch.SerializeAsString()), golden);
}

TEST(GoldenBytes, Fence) {
  v1::CommandBatch batch;
  v1::Command& command = *batch.add_commands();
  command.mutable_id()->set_client_low(3);
  command.mutable_id()->set_sequence(1);
  command.mutable_id()->set_lowest_open(1);
  command.mutable_fence()->set_slot(300);
  EXPECT_EQ(ToHex(batch.SerializeAsString()),
            "12140a0d11030000000000000018012001"
            "7a0308ac02");
}

TEST(GoldenBytes, RaiseCeiling) {
  v1::CommandBatch batch;
  batch.set_first_stamp(0x0000018bcfe56800);
  batch.add_commands()->mutable_raise_ceiling()->set_ceiling(0x0000018bcff80001);
  EXPECT_EQ(ToHex(batch.SerializeAsString()), "090068e5cf8b010000120cb20109090100f8cf8b010000");
}

TEST(GoldenBytes, SetVersionRetention) {
  v1::CommandBatch batch;
  batch.add_commands()->mutable_set_version_retention()->set_retention_ms(1'800'000);
  batch.add_commands()->mutable_set_version_retention();
  EXPECT_EQ(ToHex(batch.SerializeAsString()), "1207ba010408c0ee6d1203ba0100");
}

TEST(GoldenBytes, Descriptor) {
  const std::string golden = "080710011880102080102a04084710012a04084810022a0408491003";
  EXPECT_EQ(ToHex(testing::Descriptor(7, 2048, 2048).SerializeAsString()), golden);
}

TEST(GoldenBytes, CheckpointHeader) {
  v1::CheckpointHeader header;
  header.set_group(7);
  header.set_from(71);
  header.set_to(72);
  header.set_term(3);
  header.set_index(1000);
  header.set_index_term(2);
  v1::Member& member = *header.add_members();
  member.set_replica_id(71);
  member.set_node_id(1);
  member.set_role(2);
  v1::CheckpointFile& file = *header.add_files();
  file.set_name("CURRENT");
  file.set_size(16);
  file.set_crc32c(0x01020304);
  const std::string golden =
      "100718472048280330e80738024206084710011802"
      "4a100a0743555252454e5410101d04030201";
  EXPECT_EQ(ToHex(header.SerializeAsString()), golden);
}

}  // namespace
}  // namespace basalt::server
