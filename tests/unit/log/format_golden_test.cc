// The log's bytes on disk, pinned. They were made from docs/formats.md by another program, not by
// the code under test; they change only with the format number.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/crc32c.h"
#include "storage/raft_log/raft_log.h"
#include "storage/raft_log/record_codec.h"
#include "storage/raft_log/segment_format.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/log/log_model.h"

namespace basalt::storage {
namespace {

// Offset and 32 bytes a row; rows of zeros are left out.
constexpr char kGolden[] =
    "0000 424153414c544c47010000000614058c88776655443322110100000000000000\n"
    "0020 0100000000000000010000000000000000000000000000000000000000000000\n"
    "0200 4254434884374e08d20000000200000001000000000000000100000000000000\n"
    "0220 00000000000000000101000000000000000b0000000000000001000000000000\n"
    "0240 0000000000000000000000000000000000000000000000000000030000000100\n"
    "0260 0000000000000100000000000000010200000000000000020000000000000001\n"
    "0280 0300000000000000030000000000000001010200000000000000150000000000\n"
    "02a0 0000010000000000000000000000000000000000000000000000000000000000\n"
    "02c0 0000000300000001000000000000000100000000000000010200000000000000\n"
    "02e0 0200000000000000010300000000000000030000000000000001000000000000\n"
    "0400 42544348b91b608db50000000300000001000000000000000200000000000000\n"
    "0420 01000000000000000201000000000000000b0000000000000005000000000000\n"
    "0440 0002000000000000000401000000000000000b00000000000000010100000000\n"
    "0460 0000000200000005000000000000000000000000050000000000000001030000\n"
    "0480 0070757403020000000000000015000000000000000107000000000000000300\n"
    "04a0 0000000000000300000001000000000000000100000000000000010200000000\n"
    "04c0 0000000200000000000000010300000000000000030000000000000001000000\n"
    "0600 4254434879ade1be110000000100000001000000000000000300000000000000\n"
    "0620 0200000000000000050200000000000000150000000000000000000000000000\n"
    "0800 4254434817f4b97f000000000000000001000000000000000400000000000000\n"
    "0820 0300000000000000000000000000000000000000000000000000000000000000\n";

std::string Rows(const std::string& bytes) {
  std::string rows;
  for (size_t offset = 0; offset < bytes.size(); offset += 32) {
    const std::string row = bytes.substr(offset, 32);
    if (row.find_first_not_of('\0') == std::string::npos) continue;
    rows += fmt::format("{:04x} ", offset);
    for (const char byte : row) rows += fmt::format("{:02x}", static_cast<uint8_t>(byte));
    rows += "\n";
  }
  return rows;
}

TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(ExtendCrc32c(Crc32c("12345"), "6789"), 0xE3069283u);
}

TEST(LogFormatGolden, EveryRecordKind) {
  basalt::testing::FakeFileSystem files;
  auto log = RaftLog::Open(files, kLogDirectory, SmallLogOptions());
  ASSERT_TRUE(log.ok());
  const std::vector<NewGroup> groups = {TestGroup(1), TestGroup(2)};
  ASSERT_TRUE((*log)->CreateGroups(groups).ok());
  raft::LogWrite first = TestAppend(1, 1, 0, 0, 0);
  first.persist.hard_state = raft::HardState{raft::Term(5), raft::ReplicaId(2)};
  first.persist.entries = {{raft::LogIndex(1), raft::Term(5), raft::EntryKind::kNoOp, nullptr},
                           TestEntry(2, 5, "put")};
  raft::LogWrite second = TestAppend(2, 1, 0, 0, 0);
  second.persist.base = TestBase(7, 3);
  ASSERT_TRUE((*log)->Commit(std::vector{first, second}).ok());
  ASSERT_TRUE((*log)->DropGroup(raft::GroupId(2), raft::ReplicaId(21)).ok());
  ASSERT_TRUE((*log)->MarkIdle().value());
  EXPECT_EQ(Rows(files.Contents("/log/00000001.log")), kGolden);
}

class NotedBases final : public raft_log::RecordSink {
 public:
  void OnState(const raft_log::Owner&, raft_log::StateReason, const raft::HardState&,
               const raft::LogBase& base) override {
    bases.push_back(base);
  }
  void OnHardState(const raft_log::Owner&, const raft::HardState&) override {}
  void OnBase(const raft_log::Owner&, const raft::LogBase& base, bool) override {
    bases.push_back(base);
  }
  void OnEntries(const raft_log::Owner&, raft_log::EntriesReason, raft::LogIndex,
                 std::vector<raft_log::EncodedEntry>) override {}
  void OnDropped(const raft_log::Owner&) override {}

  std::vector<raft::LogBase> bases;
};

TEST(LogFormatGolden, BasesCarryTheFiveRolesAndNoOthers) {
  const raft_log::Owner owner{raft::GroupId(1), raft::ReplicaId(11)};
  raft::LogBase base = TestBase(7, 3);
  base.configuration.members.clear();
  for (uint64_t i = 1; i <= 5; ++i) {
    base.configuration.members.push_back(
        {raft::ReplicaId(i), raft::NodeId(i), static_cast<raft::MemberRole>(i)});
  }
  std::string records;
  raft_log::AppendState(records, owner, raft_log::StateReason::kCreated, {}, base);
  raft_log::AppendBase(records, owner, base, true);
  EXPECT_EQ(static_cast<uint8_t>(records.back()), 5) << "the last member's role";
  NotedBases sink;
  ASSERT_TRUE(raft_log::DecodeRecords(records, 2, sink).ok());
  EXPECT_EQ(sink.bases, (std::vector{base, base}));
  for (int role : {0, 6, 255}) {
    NotedBases none;
    std::string state;
    base.configuration.members[2].role = static_cast<raft::MemberRole>(role);
    raft_log::AppendState(state, owner, raft_log::StateReason::kForwarded, {}, base);
    EXPECT_TRUE(absl::IsDataLoss(raft_log::DecodeRecords(state, 1, none))) << role;
    std::string alone;
    raft_log::AppendBase(alone, owner, base, false);
    EXPECT_TRUE(absl::IsDataLoss(raft_log::DecodeRecords(alone, 1, none))) << role;
    EXPECT_TRUE(none.bases.empty());
  }
}

TEST(LogFormatGolden, HeadersComeBack) {
  const raft_log::SegmentHeader header{1, 2, 3, 4};
  const raft_log::SectorZero found =
      raft_log::DecodeSectorZero(raft_log::EncodeSegmentHeader(header));
  EXPECT_EQ(found.kind, raft_log::SectorKind::kHeader);
  EXPECT_EQ(found.format, raft_log::kLogFormat);
  EXPECT_EQ(found.header, header);
  EXPECT_EQ(raft_log::DecodeSectorZero("").kind, raft_log::SectorKind::kBlank);
  EXPECT_EQ(raft_log::DecodeSectorZero("BASALTLG").kind, raft_log::SectorKind::kDamaged);

  std::string batch(raft_log::kBatchHeaderBytes, '\0');
  batch += "records";
  raft_log::SealBatch(9, {0, 1, 5, 6, 4}, batch);
  EXPECT_TRUE(raft_log::BatchIsIntact(9, batch));
  EXPECT_FALSE(raft_log::BatchIsIntact(8, batch)) << "of another log";
  EXPECT_EQ(raft_log::DecodeBatchHeader(batch), (raft_log::BatchHeader{7, 1, 5, 6, 4}));
  std::string of_another_generation = batch;
  of_another_generation[16] = 6;
  EXPECT_FALSE(raft_log::BatchIsIntact(9, of_another_generation));
}

}  // namespace
}  // namespace basalt::storage
