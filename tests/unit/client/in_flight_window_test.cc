#include "client/kvctl/in_flight_window.h"

#include <gtest/gtest.h>

namespace basalt::kvctl {
namespace {

using std::chrono::milliseconds;

// A round of puts that take so long; the size after it.
uint32_t Round(InFlightWindow& window, milliseconds took) {
  for (uint32_t left = window.size(); left > 0; --left) window.OnEnded(took);
  return window.size();
}

TEST(InFlightWindow, GrowsWhilePutsAreQuickUpToTheMost) {
  InFlightWindow window(3000, milliseconds(1000));
  EXPECT_EQ(window.size(), 512u);
  EXPECT_EQ(Round(window, milliseconds(99)), 1024u);
  EXPECT_EQ(Round(window, milliseconds(99)), 2048u);
  EXPECT_EQ(Round(window, milliseconds(99)), 3000u);
  EXPECT_EQ(Round(window, milliseconds(0)), 3000u);
}

TEST(InFlightWindow, StaysWherePutsTakeAMiddlingTime) {
  InFlightWindow window(16384, milliseconds(1000));
  EXPECT_EQ(Round(window, milliseconds(100)), 512u);
  EXPECT_EQ(Round(window, milliseconds(250)), 512u);
}

TEST(InFlightWindow, ShrinksBeforePutsRunOutOfTime) {
  InFlightWindow window(16384, milliseconds(1000));
  EXPECT_EQ(Round(window, milliseconds(251)), 256u);
  EXPECT_EQ(Round(window, milliseconds(900)), 128u);
  EXPECT_EQ(Round(window, milliseconds(900)), 64u);
  EXPECT_EQ(Round(window, milliseconds(900)), 64u) << "the least";
  EXPECT_EQ(Round(window, milliseconds(1)), 128u);
}

TEST(InFlightWindow, OneSlowPutCountsForItsRoundAlone) {
  InFlightWindow window(16384, milliseconds(1000));
  window.OnEnded(milliseconds(500));
  for (int i = 0; i < 510; ++i) window.OnEnded(milliseconds(1));
  EXPECT_EQ(window.size(), 512u) << "the round is not over";
  window.OnEnded(milliseconds(1));
  EXPECT_EQ(window.size(), 256u);
  EXPECT_EQ(Round(window, milliseconds(1)), 512u);
}

TEST(InFlightWindow, AFewAtMostAreNeverMoreNorNone) {
  for (const uint32_t most : {1u, 2u, 63u}) {
    InFlightWindow window(most, milliseconds(1000));
    EXPECT_EQ(window.size(), most);
    EXPECT_EQ(Round(window, milliseconds(1)), most);
    EXPECT_EQ(Round(window, milliseconds(900)), most);
  }
}

}  // namespace
}  // namespace basalt::kvctl
