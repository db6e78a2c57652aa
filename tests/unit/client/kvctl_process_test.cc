// The kvctl binary against scripted servers: exit codes, and what goes to which stream.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "basalt/request.h"
#include "base/slot.h"
#include "client/kvctl/row_text.h"
#include "tests/unit/client/fake_kv_server.h"

namespace basalt::client {
namespace {

using Kind = FakeReaction::Kind;

struct Ended {
  int code = -1;
  std::string out;
  std::string err;
};

class KvctlProcessTest : public ::testing::Test {
 protected:
  KvctlProcessTest() : server_(1) {
    server_.SetMap(MapOf({&server_}, 4));
    char name[] = "/tmp/kvctl_test_XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~KvctlProcessTest() override {
    for (const char* file : {"/in", "/out", "/err", "/file"}) ::unlink((folder_ + file).c_str());
    ::rmdir(folder_.c_str());
  }

  // Runs kvctl with these words; standard input holds `input`.
  Ended Run(std::vector<std::string> words, const std::string& input = "") {
    Write("/in", input);
    return RunWith(std::move(words), folder_ + "/in", folder_ + "/out");
  }
  // As above, with standard input and output from and to these paths.
  Ended RunWith(std::vector<std::string> words, const std::string& in, const std::string& out) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it; ends when the check allows getenv
    const char* folder = ::getenv("BASALT_BIN_DIR");
    const std::string binary = std::string(folder == nullptr ? "build/bin" : folder) + "/kvctl";
    words.insert(words.begin(), {binary, "--endpoints", server_.address()});
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    const int created = O_WRONLY | O_CREAT | O_TRUNC;
    ::posix_spawn_file_actions_addopen(&files, 0, in.c_str(), O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&files, 1, out.c_str(), created, 0600);
    ::posix_spawn_file_actions_addopen(&files, 2, (folder_ + "/err").c_str(), created, 0600);
    pid_t child = 0;
    const int failed = ::posix_spawn(&child, argv[0], &files, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    if (failed != 0) return {.err = binary + " does not start"};
    int status = 0;
    ::waitpid(child, &status, 0);
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .out = Read("/out"),
            .err = Read("/err")};
  }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + name, std::ios::binary) << bytes;
  }
  std::string Read(const std::string& name) {
    std::ostringstream bytes;
    bytes << std::ifstream(folder_ + name, std::ios::binary).rdbuf();
    return bytes.str();
  }
  std::string Path() { return folder_ + "/file"; }
  void Refuse(v1::Code code, v1::Outcome outcome = v1::OUTCOME_NOT_APPLIED) {
    server_.SetScript([=](const v1::Request&) {
      return FakeReaction{.kind = Kind::kAnswer, .response = Refusal(code, outcome)};
    });
  }

  // Unavailable, and the second time for longer than any call has: it ends then, and no deadline
  // can come while an answer is under way.
  void RefuseTwice() {
    server_.SetScript([this](const v1::Request&) {
      FakeReaction reaction{.kind = Kind::kAnswer,
                            .response = Refusal(v1::CODE_UNAVAILABLE, v1::OUTCOME_NOT_APPLIED)};
      if (puts_++ > 0) reaction.response.set_retry_after_ms(60'000);
      return reaction;
    });
  }

  std::atomic<int> puts_{0};  // of scripts, so before the server
  FakeKvServer server_;
  std::string folder_;
};

TEST_F(KvctlProcessTest, DataGoesToStandardOutputAlone) {
  Ended put = Run({"put", "greeting", "hello"});
  EXPECT_EQ(put.code, 0) << put.err;
  EXPECT_EQ(put.out, "OK\n");
  EXPECT_EQ(put.err, "");
  EXPECT_EQ(Run({"get", "greeting"}).out, "hello\n");
  EXPECT_EQ(Run({"get", "greeting", "-o", "raw"}).out, "hello");
  EXPECT_EQ(Run({"get", "greeting", "--hex"}).code, 2);
  EXPECT_EQ(Run({"get", "6772656574696e67", "--hex"}).out, "68656c6c6f\n");
  const Ended json = Run({"-o", "json", "get", "greeting"});
  EXPECT_EQ(json.out.find(R"({"key":"greeting","value":"hello","version":")"), 0U);
  EXPECT_EQ(Run({"count"}).out, "1\n");
  EXPECT_EQ(Run({"scan", "--prefix", "g"}).out, "greeting\thello\n");
  EXPECT_EQ(Run({"del", "greeting"}).code, 0);
}

TEST_F(KvctlProcessTest, AScanThatBreaksOffSaysWhereToGoOn) {
  for (const char* key : {"a", "b", "c", "d", "e", "f", "g"}) {
    ASSERT_EQ(Run({"put", key, "v"}).code, 0);
  }
  for (const char* limit : {"0", "5"}) {
    server_.SetScript([](const v1::Request& request) -> FakeReaction {
      // A page has three rows.
      if (!request.has_scan() || request.scan().from() < "d") return {};
      return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_INTERNAL)};
    });
    const Ended first = Run({"--timeout", "1s", "scan", "--keys-only", "--limit", limit});
    const std::string words = "more rows; go on with --resume ";
    const size_t at = first.err.find(words);
    ASSERT_NE(at, std::string::npos) << first.err;
    const std::string token = first.err.substr(at + words.size());
    server_.SetScript(nullptr);
    const Ended rest = Run({"scan", "--keys-only", "--resume", token.substr(0, token.find('\n'))});
    EXPECT_EQ(rest.code, 0) << rest.err;
    EXPECT_NE(first.code, 0);
    EXPECT_EQ(first.out + rest.out, "a\nb\nc\nd\ne\nf\ng\n") << limit;
  }
  server_.SetScript([&](const v1::Request& request) -> FakeReaction {
    if (!request.has_scan()) return {};
    return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_TOO_OLD, v1::OUTCOME_UNSPECIFIED)};
  });
  EXPECT_EQ(Run({"scan"}).err.find("--resume"), std::string::npos) << "it would not go on either";
}

TEST_F(KvctlProcessTest, ExplainTellsOfANodeThatDoesNot) {
  const Ended put = Run({"explain", "put", "k", "-"}, "from standard input");
  EXPECT_EQ(put.code, 0) << put.err;
  EXPECT_EQ(server_.Contents()["k"], "from standard input");
  EXPECT_NE(put.out.find("network and node"), std::string::npos) << put.out;
  EXPECT_NE(put.err.find("node 1 does not know how to explain"), std::string::npos) << put.err;
  ASSERT_FALSE(server_.Requests().empty());
  EXPECT_TRUE(server_.Requests().back().explain());
  const Ended get = Run({"-o", "json", "explain", "get", "k"});
  EXPECT_EQ(get.code, 0);
  const auto json = nlohmann::json::parse(get.out);
  EXPECT_EQ(json["operation"], "get");
  EXPECT_EQ(json["found"], true);
  EXPECT_EQ(json["node"], 1);
  EXPECT_TRUE(json["server_us"].is_null());
  EXPECT_TRUE(json["term"].is_null());
  EXPECT_EQ(json["total_us"], json["client_queue_us"].get<int>() + json["network_us"].get<int>());
  EXPECT_EQ(Run({"explain", "get", "absent"}).code, 1);
  EXPECT_EQ(Run({"get", "k"}).out, "from standard input\n");
  EXPECT_FALSE(server_.Requests().back().explain());
}

TEST_F(KvctlProcessTest, ExplainTellsOfEveryAttempt) {
  FakeKvServer two(2);
  const v1::ClusterMap map = MapOf({&server_, &two}, 4);
  server_.SetMap(map);
  two.SetMap(map);
  server_.SetScript([](const v1::Request&) {
    FakeReaction reaction{.kind = Kind::kAnswer, .response = Refusal(v1::CODE_NOT_LEADER)};
    reaction.response.mutable_leader()->set_node_id(2);
    reaction.response.mutable_leader()->set_term(5);
    return reaction;
  });
  two.SetScript([](const v1::Request&) {
    FakeReaction reaction{.kind = Kind::kAnswer, .response = {}};
    reaction.response.set_outcome(v1::OUTCOME_APPLIED);
    reaction.response.mutable_write()->set_version(3);
    reaction.response.mutable_explanation()->set_term(5);
    v1::StageTime* stage = reaction.response.mutable_explanation()->add_stages();
    stage->set_stage("log");
    stage->set_microseconds(2);
    return reaction;
  });
  const Ended ended = Run({"-o", "json", "explain", "put", "k", "v"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  const auto json = nlohmann::json::parse(ended.out);
  ASSERT_EQ(json["attempts"].size(), 2U) << ended.out;
  EXPECT_EQ(json["attempts"][0]["node"], 1);
  EXPECT_EQ(json["attempts"][0]["ended"], "not_leader");
  EXPECT_EQ(json["attempts"][1]["node"], 2);
  EXPECT_EQ(json["attempts"][1]["ended"], "ok");
  EXPECT_EQ(json["node"], 2);
  EXPECT_EQ(json["term"], 5);
  EXPECT_EQ(json["outcome"], "applied");
  EXPECT_EQ(json["server_us"], 2);
  EXPECT_GT(json["earlier_attempts_us"], 0);
  int sum = 0;
  for (const char* part :
       {"earlier_attempts_us", "client_queue_us", "network_us", "server_us", "waited_us"}) {
    sum += json[part].get<int>();
  }
  EXPECT_EQ(json["total_us"], sum);
  const Ended table = Run({"explain", "put", "k", "v"});
  EXPECT_NE(table.out.find("not_leader"), std::string::npos) << table.out;
}

TEST_F(KvctlProcessTest, ExplainEndsAsTheVerbItselfWould) {
  RefuseTwice();
  const Ended put = Run({"-o", "json", "explain", "put", "k", "v"});
  EXPECT_EQ(put.code, 3) << put.err;
  const auto json = nlohmann::json::parse(put.out);
  EXPECT_EQ(json["status"], "unavailable") << put.out;
  EXPECT_EQ(json["outcome"], "not applied");
  EXPECT_EQ(json["attempts"].size(), 2U);
  Refuse(v1::CODE_INVALID);
  EXPECT_EQ(Run({"explain", "get", ""}).code, 5);
  Refuse(v1::CODE_INTERNAL, v1::OUTCOME_UNKNOWN);
  EXPECT_EQ(Run({"explain", "put", "k", "v"}).code, 4);
  server_.Stop();
  EXPECT_EQ(Run({"--timeout", "200ms", "explain", "get", "k"}).code, 3);
}

TEST_F(KvctlProcessTest, NotFoundIsOne) {
  for (const char* verb : {"get", "del"}) {
    const Ended ended = Run({verb, "absent"});
    EXPECT_EQ(ended.code, 1);
    EXPECT_EQ(ended.out, "");
    EXPECT_EQ(ended.err, "kvctl: not found\n");
  }
}

TEST_F(KvctlProcessTest, UsageIsTwoAndOneLine) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"frob"}, {"get", "k", "--frob"}, {"put", "k"}, {}}) {
    const Ended ended = Run(words);
    EXPECT_EQ(ended.code, 2);
    EXPECT_EQ(ended.out, "");
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
}

TEST_F(KvctlProcessTest, UnavailableIsThree) {
  RefuseTwice();
  const Ended put = Run({"put", "k", "v"});
  EXPECT_EQ(put.code, 3);
  EXPECT_NE(put.err.find("not applied"), std::string::npos) << put.err;
  Refuse(v1::CODE_UNAVAILABLE);
  EXPECT_EQ(Run({"--timeout", "300ms", "get", "k"}).code, 3);
  server_.Stop();
  EXPECT_EQ(Run({"--timeout", "300ms", "put", "k", "v"}).code, 3);
  EXPECT_EQ(Run({"--timeout", "300ms", "status"}).code, 3);
}

TEST_F(KvctlProcessTest, UnknownIsFour) {
  server_.SetScript([](const v1::Request&) { return FakeReaction{.kind = Kind::kServeThenDrop}; });
  const Ended put = Run({"--timeout", "1s", "put", "k", "v"});
  EXPECT_EQ(put.code, 4);
  EXPECT_NE(put.err.find("outcome unknown"), std::string::npos) << put.err;
  EXPECT_EQ(server_.Contents()["k"], "v");
  server_.SetScript([](const v1::Request&) { return FakeReaction{.kind = Kind::kSilence}; });
  EXPECT_EQ(Run({"--timeout", "300ms", "put", "k", "v"}).code, 4);
  EXPECT_EQ(Run({"--timeout", "300ms", "get", "k"}).code, 3);
}

// Who asks after a crash must not take "nobody was there" for "never applied".
TEST_F(KvctlProcessTest, OfARequestNobodyReachedNothingIsKnown) {
  const std::string token =
      RequestToken{
          .slot = base::SlotOf("k"), .client_high = 1, .client_low = 2, .sequence = 3, .issued = 4}
          .ToString();
  Refuse(v1::CODE_FENCED);
  const Ended fenced = Run({"outcome", token});
  EXPECT_EQ(fenced.code, 3);
  EXPECT_EQ(fenced.out, "not applied\n");
  EXPECT_EQ(Run({"put", "k", "v", "--request-token", token}).code, 3);
  Refuse(v1::CODE_FORGOTTEN, v1::OUTCOME_UNKNOWN);
  const Ended forgotten = Run({"outcome", token});
  EXPECT_EQ(forgotten.code, 4);
  EXPECT_EQ(forgotten.out, "unknown\n");
  EXPECT_EQ(Run({"put", "other", "v", "--request-token", token}).code, 5) << "of another slot";
  server_.Stop();
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"outcome", token},
        {"put", "k", "v", "--request-token", token},
        {"del", "k", "--request-token", token},
        {"incr", "k", "--request-token", token},
        {"cas", "k", "v", "--absent", "--request-token", token}}) {
    std::vector<std::string> all{"--timeout", "300ms"};
    all.insert(all.end(), words.begin(), words.end());
    const Ended ended = Run(all);
    EXPECT_EQ(ended.code, 4) << words[0] << ": " << ended.err;
    EXPECT_EQ(ended.out, "") << words[0];
  }
}

TEST_F(KvctlProcessTest, ADeletionThatReachesNoNodeTellsThatNothingIsDeleted) {
  server_.Stop();
  for (const char* which : {"--prefix=p", "--all"}) {
    const Ended ended = Run({"--timeout", "300ms", "-o", "json", "del", which});
    EXPECT_EQ(ended.code, 3) << ended.err;
    EXPECT_EQ(
        ended.out,
        R"({"outcome":"not applied","deleted":0,"unknown":0,"transactions":0,"timestamp":"0"})"
        "\n");
  }
  EXPECT_EQ(Run({"--timeout", "300ms", "del", "--all"}).out, "");
}

TEST_F(KvctlProcessTest, RefusedIsFiveAndNamesTheLimit) {
  const Ended empty = Run({"put", "", "v"});
  EXPECT_EQ(empty.code, 5);
  EXPECT_NE(empty.err.find("4 KiB"), std::string::npos);
  const Ended long_key = Run({"put", std::string(4097, 'k'), "v"});
  EXPECT_EQ(long_key.code, 5);
  const Ended large = Run({"put", "k", "-"}, std::string((8 << 20) + 1, 'v'));
  EXPECT_EQ(large.code, 5);
  EXPECT_NE(large.err.find("8 MiB"), std::string::npos);
  for (const std::vector<std::string>& words : {std::vector<std::string>{"put", "k", "-"},
                                                {"cas", "k", "-", "--absent"},
                                                {"explain", "put", "k", "-"}}) {
    std::string value;
    value.resize(9'000'000, 'v');
    const Ended larger = Run(words, value);
    EXPECT_EQ(larger.code, 5);
    EXPECT_EQ(larger.out, "");
    EXPECT_EQ(larger.err,
              "kvctl: invalid argument (not applied): the value on standard input has more than 8 "
              "MiB, the limit\n")
        << "not how much of it was read";
  }
  EXPECT_EQ(Run({"put", "k", "-"}, std::string(8 << 20, 'v')).code, 0);
  Refuse(v1::CODE_READ_ONLY);
  EXPECT_EQ(Run({"put", "k", "v"}).code, 5);
}

TEST_F(KvctlProcessTest, StandardInputIsTakenByteForByte) {
  std::string value = "a\n\xff";
  value.push_back('\0');
  EXPECT_EQ(Run({"put", "k", "-"}, value).code, 0);
  EXPECT_EQ(Run({"get", "k", "-o", "raw"}).out, value);
}

TEST_F(KvctlProcessTest, StandardInputThatCannotBeReadWritesNothing) {
  const Ended ended = RunWith({"put", "k", "-"}, folder_, folder_ + "/out");  // EISDIR
  EXPECT_EQ(ended.code, 2) << ended.err;
  EXPECT_NE(ended.err.find("standard input"), std::string::npos) << ended.err;
  EXPECT_TRUE(server_.Contents().empty());
}

// Code 3 promises that nothing was applied.
TEST_F(KvctlProcessTest, AWriteWhoseConfirmationGetsLostIsNotCalledNotApplied) {
  Write("/out", "");
  const Ended put = RunWith({"put", "k", "v"}, "/dev/null", "/dev/full");
  EXPECT_EQ(put.code, 4) << put.err;
  EXPECT_NE(put.err.find("applied, but"), std::string::npos) << put.err;
  EXPECT_EQ(server_.Contents()["k"], "v");
  EXPECT_EQ(RunWith({"get", "k"}, "/dev/null", "/dev/full").code, 3);
  EXPECT_EQ(RunWith({"del", "k"}, "/dev/null", "/dev/full").code, 4);
  Run({"put", "k", "v"});
  const Ended lost = RunWith({"mget", "k", "absent"}, "/dev/null", "/dev/full");
  EXPECT_EQ(lost.code, 3) << "the row that there was is lost";
  EXPECT_NE(lost.err.find("standard output"), std::string::npos) << lost.err;
}

// Nor is what it was asked about.
TEST_F(KvctlProcessTest, AnOutcomeThatCouldNotBeToldIsUnknown) {
  const std::string token =
      RequestToken{
          .slot = base::SlotOf("k"), .client_high = 1, .client_low = 2, .sequence = 3, .issued = 4}
          .ToString();
  v1::Response applied;
  applied.set_outcome(v1::OUTCOME_APPLIED);
  applied.mutable_write()->set_version(7);
  server_.SetScript([=](const v1::Request&) -> FakeReaction {
    return {.kind = Kind::kAnswer, .response = applied};
  });
  const Ended told = Run({"-o", "json", "outcome", token});
  EXPECT_EQ(told.code, 0) << told.err;
  EXPECT_EQ(told.out,
            "{\"outcome\":\"applied\",\"version\":\"7\",\"existed\":false,\"value\":0}\n");
  const Ended untold = RunWith({"outcome", token}, "/dev/null", "/dev/full");
  EXPECT_EQ(untold.code, 4) << untold.err;
  EXPECT_NE(untold.err.find("ask for the outcome again"), std::string::npos) << untold.err;
}

TEST_F(KvctlProcessTest, AnExportThatBreaksOffSaysHowItsRestIsExported) {
  std::string lines = "{\"key\":\"l\",\"value\":\"of another prefix\"}\n";
  for (int i = 0; i < 6000; ++i) {
    lines += R"({"key":"k)" + std::to_string(10'000 + i) + R"(","value":"v"})" + "\n";
  }
  ASSERT_EQ(Run({"import", "-"}, lines).code, 0);
  std::atomic<int> scans = 0;
  server_.SetScript([&](const v1::Request& request) -> FakeReaction {
    if (!request.has_scan() || ++scans <= 4) return {};
    return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_UNAVAILABLE)};
  });
  const Ended broken = Run({"--timeout", "300ms", "export", "--prefix", "k", "--limit", "5500"});
  EXPECT_EQ(broken.code, 3) << broken.err;
  server_.SetScript({});
  const size_t at = broken.err.find("go on with ");
  ASSERT_NE(at, std::string::npos) << broken.err;
  std::istringstream rest(broken.err.substr(at + std::string("go on with ").size()));
  std::vector<std::string> words{"export"};
  for (std::string word; rest >> word;) words.push_back(word);
  const Ended more = Run(words);
  EXPECT_EQ(more.code, 0) << more.err;
  const std::string all = broken.out + more.out;
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 5500);
  EXPECT_EQ(all.find("of another prefix"), std::string::npos);
  EXPECT_NE(all.find("k15499"), std::string::npos);
}

TEST_F(KvctlProcessTest, ExportAndImportAreARoundTrip) {
  std::string lines;
  for (int i = 0; i < 300; ++i) {
    lines += R"({"key":"k)" + std::to_string(1000 + i) + R"(","value":"line\n)" +
             std::to_string(i) + "\"}\n";
  }
  lines += "{\"key_base64\":\"/wA=\",\"value_base64\":\"/v8=\"}\n";
  Write("/file", lines);
  Ended imported = Run({"import", Path()});
  EXPECT_EQ(imported.code, 0) << imported.err;
  EXPECT_EQ(imported.out, "");
  EXPECT_NE(imported.err.find("imported 301 rows"), std::string::npos) << imported.err;
  const Ended exported = Run({"export"});
  EXPECT_EQ(exported.code, 0);
  EXPECT_EQ(exported.out, lines);
  const auto contents = server_.Contents();
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"--base64"},
                                                {"--format", "tsv"},
                                                {"--format", "tsv", "--base64"}}) {
    std::vector<std::string> words = {"export"};
    words.insert(words.end(), flags.begin(), flags.end());
    const std::string rows = Run(words).out;
    for (const auto& [key, value] : contents) {
      EXPECT_EQ(Run({"--hex", "del", kvctl::ToHex(key)}).code, 0);
      break;  // one is enough to see it come back
    }
    words[0] = "import";
    words.insert(words.begin() + 1, "-");
    EXPECT_EQ(Run(words, rows).code, 0);
    EXPECT_EQ(server_.Contents(), contents);
  }
}

TEST_F(KvctlProcessTest, AMalformedLineStopsTheImportAndIsNamed) {
  const Ended ended =
      Run({"import", "-"},
          "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\nrubbish\n"
          "{\"key\":\"c\",\"value\":\"3\"}\n");
  EXPECT_EQ(ended.code, 2);
  EXPECT_NE(ended.err.find("line 3: not JSON"), std::string::npos) << ended.err;
  EXPECT_NE(ended.err.find("2 lines were applied"), std::string::npos) << ended.err;
  EXPECT_NE(ended.err.find("--from-line 3"), std::string::npos) << ended.err;
  EXPECT_EQ(server_.Contents().size(), 2U);
  EXPECT_EQ(
      Run({"import", "--from-line", "2", "-"}, "rubbish\n{\"key\":\"c\",\"value\":\"3\"}\n").code,
      0);
  EXPECT_EQ(server_.Contents().size(), 3U);
  EXPECT_EQ(Run({"import", "/nonexistent/file"}).code, 2);
  const Ended limit = Run({"import", "-"}, "{\"key\":\"\",\"value\":\"1\"}\n");
  EXPECT_EQ(limit.code, 5) << limit.err;
  EXPECT_NE(limit.err.find("line 1"), std::string::npos);
}

TEST_F(KvctlProcessTest, ALineInDoubtIsNamed) {
  server_.SetScript([](const v1::Request& request) {
    return FakeReaction{.kind = request.put().key() == "b" ? Kind::kServeThenDrop : Kind::kServe};
  });
  const Ended ended = Run({"--timeout", "1s", "import", "--in-flight", "1", "-"},
                          "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n"
                          "{\"key\":\"c\",\"value\":\"3\"}\n");
  EXPECT_EQ(ended.code, 4);
  EXPECT_NE(ended.err.find("outcome unknown: line 2"), std::string::npos) << ended.err;
  EXPECT_FALSE(server_.Contents().contains("c"));  // nothing is started after a failure
  EXPECT_NE(ended.err.find("--from-line 2"), std::string::npos) << ended.err;
}

TEST_F(KvctlProcessTest, ClusterVerbs) {
  const Ended nodes = Run({"nodes", "-o", "json"});
  EXPECT_EQ(nodes.code, 0) << nodes.err;
  EXPECT_EQ(nodes.out.find(R"({"nodes":[{"id":1,"address":"127.0.0.1:)"), 0U) << nodes.out;
  EXPECT_NE(nodes.out.find(R"("state":"ready")"), std::string::npos);
  const Ended shards = Run({"shards", "-o", "json"});
  EXPECT_EQ(shards.out.find(
                R"({"shards":[{"id":1,"first_slot":0,"slot_count":4096,"epoch":1,"leader":1,)"),
            0U)
      << shards.out;
  EXPECT_NE(Run({"status", "-o", "json"}).out.find(R"("applied_index":7)"), std::string::npos);
  EXPECT_NE(Run({"status"}).out.find("ready"), std::string::npos);
  // CRC16 of 123456789 is 0x31C3 = 12739, in the fourth quarter of the slots.
  EXPECT_EQ(Run({"shard", "of", "123456789", "-o", "raw"}).out, "4\n");
  EXPECT_EQ(Run({"cluster", "init"}).code, 0);
  EXPECT_EQ(Run({"cluster", "init", "--yes"}).code, 5);
}

TEST_F(KvctlProcessTest, ANodeOfNoClusterIsToldApart) {
  server_.SetMap(v1::ClusterMap());
  const Ended get = Run({"get", "k"});
  EXPECT_EQ(get.code, 3);
  EXPECT_NE(get.err.find("kvctl cluster init"), std::string::npos);
  EXPECT_EQ(Run({"shards"}).code, 3);
  const Ended status = Run({"status", "-o", "json"});
  EXPECT_EQ(status.code, 0);
  EXPECT_NE(status.out.find(R"("formed":false)"), std::string::npos);
}

TEST_F(KvctlProcessTest, BenchCountsOnlyWhatWasAcknowledged) {
  const Ended ended = Run({"bench", "--workload", "put", "--clients", "16", "--keys", "64",
                           "--duration", "300ms", "-o", "json"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  for (const char* field : {"\"throughput\":", "\"errors\":0", "\"p999\":", "\"cpu_us_per_op\":",
                            "\"lost_keys\":0", "\"verified_keys\":64"}) {
    EXPECT_NE(ended.out.find(field), std::string::npos) << field << " in " << ended.out;
  }
  EXPECT_EQ(server_.Contents().size(), 64U);
  EXPECT_EQ(Run({"bench", "--workload", "get", "--keys", "50", "--clients", "4", "--duration",
                 "200ms", "--unary"})
                .code,
            0);
  const Ended paced = Run({"bench", "--workload", "mixed", "--keys", "50", "--clients", "4",
                           "--duration", "500ms", "--rate", "100", "-o", "json"});
  EXPECT_EQ(paced.code, 0) << paced.err;
  const double rate = std::stod(paced.out.substr(paced.out.find("\"throughput\":") + 13));
  EXPECT_GT(rate, 50);
  EXPECT_LT(rate, 130);
}

TEST_F(KvctlProcessTest, BenchRunsTheWorkloadsOfYcsb) {
  for (const char* workload : {"ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f"}) {
    for (const char* way : {"--read=linearizable", "--unary"}) {
      const Ended ended = Run({"bench", "--workload", workload, way, "--keys", "100", "--clients",
                               "8", "--duration", "100ms", "-o", "json"});
      EXPECT_EQ(ended.code, 0) << workload << ": " << ended.err;
      for (const char* field : {"\"errors\":0", "\"absent\":0", "\"lost_keys\":0"}) {
        EXPECT_NE(ended.out.find(field), std::string::npos) << field << " in " << ended.out;
      }
    }
  }
  EXPECT_NE(Run({"bench", "--workload", "ycsb-e", "--duration", "100ms"}).out.find(" scans"),
            std::string::npos);
  EXPECT_EQ(Run({"bench", "--workload", "ycsb-g"}).code, 2);
}

TEST_F(KvctlProcessTest, BenchFindsAWriteThatWasAcknowledgedAndLost) {
  server_.SetScript([&](const v1::Request& request) {
    FakeReaction reaction;
    if (request.has_put() && ++puts_ % 10 == 0) {
      reaction.kind = Kind::kAnswer;
      reaction.response.set_outcome(v1::OUTCOME_APPLIED);
      reaction.response.mutable_write()->set_version(1);
    }
    return reaction;
  });
  const Ended ended =
      Run({"bench", "--workload", "put", "--clients", "8", "--keys", "64", "--duration", "200ms"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_NE(ended.err.find("acknowledged writes are not there"), std::string::npos) << ended.err;
}

TEST_F(KvctlProcessTest, BenchSaysByWhatEachErrorWas) {
  const std::pair<v1::Outcome, const char*> ends[] = {
      {v1::OUTCOME_NOT_APPLIED, "transfer_not_applied"}, {v1::OUTCOME_UNKNOWN, "transfer_unknown"}};
  for (const auto& [outcome, field] : ends) {
    v1::Response refusal = Refusal(v1::CODE_UNAVAILABLE, outcome);
    refusal.set_retry_after_ms(60'000);
    server_.SetScript([refusal](const v1::Request& request) -> FakeReaction {
      if (!request.has_one_shard() && !request.has_commit()) return {};
      return {.kind = Kind::kAnswer, .response = refusal};
    });
    const Ended ended = Run({"--timeout", "300ms", "-o", "json", "bench", "--workload", "txn",
                             "--no-load", "--no-verify", "--clients", "2", "--duration", "100ms"});
    EXPECT_NE(ended.code, 0);
    const auto json = nlohmann::json::parse(ended.out);
    EXPECT_GT(json["errors"], 0);
    EXPECT_EQ(json["errors_by"][field], json["errors"]) << ended.out;
  }
}

// "bar" and "foo" lie in two shards.
TEST_F(KvctlProcessTest, ATransactionPrintsWhatItReadAndSaysHowItEnded) {
  Run({"put", "bar", "old"});
  v1::Response committed;
  committed.set_outcome(v1::OUTCOME_APPLIED);
  committed.mutable_commit()->set_commit(7);
  server_.SetScript([=](const v1::Request& request) -> FakeReaction {
    if (!request.has_commit()) return {};
    return {.kind = Kind::kAnswer, .response = committed};
  });
  const std::string script =
      "check bar value old\nget bar\nput bar new\nput foo 1\nget bar\nget no\n";
  const Ended done = Run({"txn"}, script);
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(done.out, "bar\told\nbar\tnew\nOK\n");
  EXPECT_NE(done.err.find("no: not found"), std::string::npos);
  EXPECT_EQ(Run({"txn", "--hex"}, "get 626172\nput 666f6f 00\n").out, "626172\t6f6c64\nOK\n");
  const Ended absent = Run({"txn", "--hex"}, "get 6e6f\nput 666f6f 00\n");
  EXPECT_NE(absent.err.find("6e6f: not found"), std::string::npos) << absent.err;
  Run({"put", "bar", "a\tb"});
  EXPECT_EQ(Run({"txn"}, "get bar\nput foo 1\n").out, "bar\ta\\tb\nOK\n");
  EXPECT_EQ(Run({"txn", "-o", "raw"}, "get bar\nput foo 1\n").out, "bar\ta\tb\n");
  const std::string applied = "{\"outcome\":\"applied\"}\n";
  EXPECT_EQ(Run({"-o", "json", "txn"}, "put bar 1\nput foo 1\n").out, applied);
  EXPECT_EQ(Run({"-o", "json", "txn"}, "get no\nput foo 1\n").out, applied);
  EXPECT_EQ(Run({"-o", "json", "txn"}, "put bar 1\nget bar\nput foo 1\n").out,
            "{\"key\":\"bar\",\"value\":\"1\",\"version\":\"0\"}\n" + applied);
}

TEST_F(KvctlProcessTest, ATransactionWhoseCheckDoesNotHoldIsOne) {
  Run({"put", "bar", "old"});
  const Ended ended = Run({"txn"}, "check bar value other\nput foo 1\n");
  EXPECT_EQ(ended.code, 1);
  EXPECT_NE(ended.err.find("the check of bar does not hold; nothing was done"), std::string::npos);
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(Run({"-o", "json", "txn"}, "check bar value other\nput foo 1\n").out,
            "{\"outcome\":\"not applied\"}\n");
  for (const v1::Request& request : server_.Requests()) {
    EXPECT_FALSE(request.has_commit() || request.has_one_shard());
  }
}

TEST_F(KvctlProcessTest, ACheckIsNotSaidToFailWhenNobodyKnows) {
  Run({"put", "bar", "old"});
  v1::Response later = Refusal(v1::CODE_UNAVAILABLE);
  later.set_retry_after_ms(60'000);
  server_.SetScript([=](const v1::Request& request) -> FakeReaction {
    if (!request.has_validate()) return {};
    return {.kind = Kind::kAnswer, .response = later};
  });
  const Ended ended = Run({"txn"}, "get foo\ncheck bar value other\nput foo 1\n");
  EXPECT_EQ(ended.code, 3) << ended.err;
  EXPECT_EQ(ended.err.find("does not hold"), std::string::npos) << ended.err;
}

TEST_F(KvctlProcessTest, ATransactionsOtherEnds) {
  EXPECT_EQ(Run({"txn"}, "take bar\n").code, 2);
  EXPECT_EQ(Run({"txn"}, "").code, 2);
  const Ended limit = Run({"txn"}, "get a\nput " + std::string(5000, 'k') + " v\n");
  EXPECT_EQ(limit.code, 5);
  EXPECT_EQ(limit.err,
            "kvctl: invalid argument (not applied): line 2: the key has 5000 bytes; the limit is "
            "4 KiB\n");
  server_.SetScript([](const v1::Request& request) -> FakeReaction {
    if (!request.has_one_shard()) return {};
    return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_UNAVAILABLE, v1::OUTCOME_UNKNOWN)};
  });
  EXPECT_EQ(Run({"--timeout", "1s", "txn"}, "put bar v\n").code, 4);
  server_.SetScript([](const v1::Request& request) -> FakeReaction {
    if (!request.has_one_shard()) return {};
    return {.kind = Kind::kAnswer, .response = Refusal(v1::CODE_LOCKED)};
  });
  EXPECT_EQ(Run({"--timeout", "300ms", "txn"}, "put bar v\n").code, 5);
  server_.SetScript([](const v1::Request& request) -> FakeReaction {
    if (!request.has_one_shard()) return {};
    FakeReaction reaction{.kind = Kind::kAnswer, .response = Refusal(v1::CODE_UNAVAILABLE)};
    reaction.response.set_retry_after_ms(60'000);
    return reaction;
  });
  EXPECT_EQ(Run({"txn"}, "put bar v\n").code, 3);
}

TEST_F(KvctlProcessTest, CompletionIsAScript) {
  const Ended bash = Run({"completion", "bash"});
  EXPECT_EQ(bash.code, 0);
  EXPECT_NE(bash.out.find("complete -F _kvctl kvctl"), std::string::npos);
  EXPECT_NE(Run({"completion", "zsh"}).out.find("#compdef kvctl"), std::string::npos);
  EXPECT_NE(Run({"completion", "fish"}).out.find("complete -c kvctl"), std::string::npos);
}

}  // namespace
}  // namespace basalt::client
