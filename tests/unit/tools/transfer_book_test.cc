#include "tests/tools/transfer_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace basalt::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr int64_t kOpening = 10;

Transfer Moves(std::string key, Outcome outcome, int64_t amount = 3) {
  return {.trace_key = std::move(key),
          .trace = {.from = "a", .to = "b", .amount = amount},
          .outcome = outcome};
}

TEST(TransferBookTest, RowsSurviveARoundTrip) {
  EXPECT_EQ(ParseAccount(ToText(Account{-5, 7})), (Account{-5, 7}));
  EXPECT_EQ(ParseTrace(ToText(Trace{"a", "b", 12})), (Trace{"a", "b", 12}));
  for (const char* text : {"", "5", "5 ", "x 1", "5 1 1", "5 -1"}) {
    EXPECT_FALSE(ParseAccount(text)) << text;
  }
  for (const char* text : {"", "a", "a b", "a b ", "a b x", "a b 1 2"}) {
    EXPECT_FALSE(ParseTrace(text)) << text;
  }
}

TEST(TransferBookTest, BooksThatMayBe) {
  EXPECT_THAT(FindBookErrors({}, kOpening, {{"a", "10 0"}, {"b", "10 0"}}, {}), IsEmpty());
  const Rows accounts{{"a", "4 2"}, {"b", "16 2"}};
  const Rows traces{{"t1", "a b 3"}, {"t2", "a b 3"}};
  EXPECT_THAT(FindBookErrors({Moves("t1", Outcome::kApplied), Moves("t2", Outcome::kUnknown),
                              Moves("t3", Outcome::kNotApplied), Moves("t4", Outcome::kUnknown)},
                             kOpening, accounts, traces),
              IsEmpty());
}

TEST(TransferBookTest, AnAcknowledgedTransferIsMissing) {
  EXPECT_THAT(FindBookErrors({Moves("t1", Outcome::kApplied)}, kOpening,
                             {{"a", "10 0"}, {"b", "10 0"}}, {}),
              ElementsAre("acknowledged and not there: t1 a b 3"));
}

TEST(TransferBookTest, ARefusedTransferIsThere) {
  EXPECT_THAT(FindBookErrors({Moves("t1", Outcome::kNotApplied)}, kOpening,
                             {{"a", "7 1"}, {"b", "13 1"}}, {{"t1", "a b 3"}}),
              ElementsAre("refused and there: t1 a b 3"));
}

TEST(TransferBookTest, ATransferThatRanTwiceOrInPart) {
  const std::vector<Transfer> transfers{Moves("t1", Outcome::kApplied)};
  const Rows traces{{"t1", "a b 3"}};
  // Twice: the sum of both accounts is what it was.
  EXPECT_THAT(
      FindBookErrors(transfers, kOpening, {{"a", "4 2"}, {"b", "16 2"}}, traces),
      ElementsAre("account a is 4 2, by the traces 7 1", "account b is 16 2, by the traces 13 1"));
  EXPECT_THAT(FindBookErrors(transfers, kOpening, {{"a", "7 1"}, {"b", "10 0"}}, traces),
              ElementsAre("account b is 10 0, by the traces 13 1"));
  EXPECT_THAT(FindBookErrors(transfers, kOpening, {{"a", "10 0"}, {"b", "10 0"}}, traces),
              UnorderedElementsAre(StartsWith("account a"), StartsWith("account b")));
  EXPECT_THAT(FindBookErrors(transfers, kOpening, {{"a", "7 1"}}, traces),
              ElementsAre("account b is not there, by the traces 3 1"));
}

TEST(TransferBookTest, ATraceThatIsNotWhatItsClientWrote) {
  const Rows accounts{{"a", "7 1"}, {"b", "13 1"}};
  EXPECT_THAT(
      FindBookErrors({Moves("t1", Outcome::kUnknown, 4)}, kOpening, accounts, {{"t1", "a b 3"}}),
      ElementsAre("t1 is a b 3 and not a b 4"));
  EXPECT_THAT(FindBookErrors({}, kOpening, accounts, {{"t1", "a b 3"}}),
              ElementsAre("nobody wrote t1 a b 3"));
  EXPECT_THAT(FindBookErrors({}, kOpening, {{"a", "10 0"}}, {{"t1", "?"}}),
              ElementsAre("nobody wrote t1 ?", "no trace: t1 ?"));
}

TEST(TransferBookTest, AccountsReadTogether) {
  const auto variance = [](Rows rows) { return FindVariance(rows, 2, kOpening, 1, 3); };
  EXPECT_EQ(variance({{"a", "8 2"}, {"b", "12 2"}}), "");
  EXPECT_EQ(variance({{"a", "8 2"}}), "1 accounts, not 2");
  EXPECT_EQ(variance({{"a", "8"}, {"b", "12 2"}}), "no account: a 8");
  EXPECT_EQ(variance({{"a", "-1 2"}, {"b", "21 2"}}), "overdrawn: a -1 2");
  EXPECT_EQ(variance({{"a", "8 2"}, {"b", "13 2"}}), "a sum of 21, not 20");
  EXPECT_EQ(variance({{"a", "8 2"}, {"b", "12 1"}}), "half a transfer: 3 accounts touched");
  EXPECT_EQ(variance({{"a", "10 0"}, {"b", "10 0"}}), "0 transfers where 1 had been acknowledged");
  EXPECT_EQ(variance({{"a", "8 4"}, {"b", "12 4"}}), "4 transfers where 3 had begun");
}

}  // namespace
}  // namespace basalt::tools
