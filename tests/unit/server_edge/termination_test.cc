// Each case runs in a process of its own: what is tested is how that ends.
#include "server/daemon/termination.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>

#include "gtest/gtest.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kStopped = 42;  // the owner was asked, stopped and left

void Stop(Termination& termination) {
  while (!termination.Await(milliseconds(20))) {
  }
}

// The exit code of a process that does `work`; -1 if a signal killed it.
int ExitCodeOf(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(kStopped);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

[[noreturn]] void Hang() {
  while (true) ::pause();
}

TEST(Termination, ASignalDuringTheStartEndsTheProcess) {
  for (const int number : {SIGTERM, SIGINT}) {
    EXPECT_EQ(ExitCodeOf([number] {
                Termination termination(seconds(60));
                ::kill(::getpid(), number);
                Hang();
              }),
              0);
  }
}

TEST(Termination, ASignalAfterTheStartAsks) {
  for (const int number : {SIGTERM, SIGINT}) {
    EXPECT_EQ(ExitCodeOf([number] {
                Termination termination(seconds(60));
                termination.Started();
                if (termination.Await(milliseconds(1))) ::_exit(1);
                ::kill(::getpid(), number);
                Stop(termination);
              }),
              kStopped);
  }
}

TEST(Termination, ASecondSignalEndsAStopThatHangs) {
  EXPECT_EQ(ExitCodeOf([] {
              Termination termination(seconds(60));
              termination.Started();
              ::kill(::getpid(), SIGTERM);
              Stop(termination);
              ::kill(::getpid(), SIGTERM);
              Hang();
            }),
            0);
}

TEST(Termination, TheLimitEndsAStopThatHangs) {
  EXPECT_EQ(ExitCodeOf([] {
              Termination termination(milliseconds(100));
              termination.Started();
              ::kill(::getpid(), SIGTERM);
              Stop(termination);
              Hang();
            }),
            1);
}

TEST(Termination, AStartThatFailsNeedsNoSignal) {
  EXPECT_EQ(ExitCodeOf([] { Termination termination(milliseconds(1)); }), kStopped);
}

}  // namespace
}  // namespace basalt::server
