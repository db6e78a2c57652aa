"""Each rule of scripts/check_layers objects to a planted violation, and only to that."""

import unittest

from planted_tree import PlantedTreeTest

ARROWS_ALLOWED = [
    ("raft/core/log.cc", "base/check.h"),
    ("raft/wire/encode.cc", "raft/core/message.h"),
    ("raft/wire/encode.cc", "proto/peer.pb.h"),
    ("raft/group.cc", "raft/core/raft_core.h"),
    ("storage/raft_log.cc", "raft/log_store.h"),
    ("storage/raft_log.cc", "raft/core/types.h"),
    ("check/history.cc", "base/check.h"),
    ("server/main.cc", "server/txn/coordinator.h"),
    ("server/main.cc", "storage/engine.h"),
    ("server/main.cc", "raft/wire/encode.h"),
    ("client/router.cc", "check/history.h"),
    ("client/router.cc", "proto/client.pb.h"),
    ("tests/unit/all_test.cc", "server/txn/coordinator.h"),
]

ARROWS_FORBIDDEN = [
    ("base/slot.cc", "proto/peer.pb.h"),
    ("base/slot.cc", "raft/core/types.h"),
    ("raft/core/log.cc", "raft/log_store.h"),
    ("raft/core/log.cc", "storage/engine.h"),
    ("raft/group.cc", "proto/peer.pb.h"),
    ("raft/group.cc", "raft/wire/encode.h"),
    ("raft/wire/encode.cc", "raft/log_store.h"),
    ("raft/wire/encode.cc", "storage/engine.h"),
    ("storage/raft_log.cc", "proto/peer.pb.h"),
    ("storage/raft_log.cc", "raft/core/raft_core.h"),
    ("storage/raft_log.cc", "server/config.h"),
    ("check/history.cc", "client/router.h"),
    ("server/txn/coordinator.cc", "storage/engine.h"),
    ("server/placement/planner.cc", "raft/core/types.h"),
    ("server/main.cc", "client/router.h"),
    ("server/main.cc", "check/history.h"),
    ("client/router.cc", "server/config.h"),
    ("client/router.cc", "raft/core/types.h"),
    ("server/main.cc", "tests/support.h"),
]


class CheckLayersTest(PlantedTreeTest):
    script = "check_layers"

    def plant_include(self, path, target):
        if target.endswith(".pb.h"):
            self.plant(target.replace(".grpc.pb.h", ".proto").replace(".pb.h", ".proto"), "")
        else:
            self.plant(target, "")
        self.plant(path, f'#include "{target}"\n')

    def test_allowed_arrows(self):
        for path, target in ARROWS_ALLOWED:
            with self.subTest(path=path, target=target):
                self.setUp()
                self.plant_include(path, target)
                self.assert_clean()

    def test_forbidden_arrows(self):
        for path, target in ARROWS_FORBIDDEN:
            with self.subTest(path=path, target=target):
                self.setUp()
                self.plant_include(path, target)
                self.assert_violation(f"{path}:1:", "layer", target)

    def test_an_include_in_a_comment_is_none(self):
        self.plant("base/slot.cc", '// #include "server/x.h"\n/*\n#include "server/x.h"\n*/\n')
        self.assert_clean()

    def test_path_from_the_folder_itself(self):
        self.plant("base/slot.h", "")
        self.plant("base/slot.cc", '#include "slot.h"\n')
        self.assert_violation("base/slot.cc:1:", "path")
        self.plant("base/slot.cc", '#include "../base/slot.h"\n')
        self.assert_violation("base/slot.cc:1:", "path")

    def test_path_that_does_not_exist(self):
        self.plant("base/slot.cc", '#include "base/gone.h"\n')
        self.assert_violation("base/slot.cc:1:", "path")
        self.plant("server/a.cc", '#include "proto/gone.pb.h"\n')
        self.assert_violation("server/a.cc:1:", "path")

    def test_include_of_a_macro(self):
        self.plant("base/slot.cc", "#include HEADER\n")
        self.assert_violation("base/slot.cc:1:", "path")

    def test_the_public_form_of_client_headers(self):
        self.plant("client/include/basalt/client.h", "#include <string>\n")
        self.plant("client/client.cc", '#include <basalt/client.h>\n#include "basalt/client.h"\n')
        self.assert_clean()
        self.plant("client/client.cc", '#include "client/include/basalt/client.h"\n')
        self.assert_violation("client/client.cc:1:", "path")

    def test_brackets_around_a_header_of_ours(self):
        self.plant("base/slot.h", "")
        self.plant("base/slot.cc", "#include <base/slot.h>\n")
        self.assert_violation("base/slot.cc:1:", "path")

    def test_pure_code_includes_no_effects(self):
        for folder in ("raft/core", "server/txn", "server/placement", "check"):
            for header in ("thread", "mutex", "chrono", "random", "fstream", "spdlog/spdlog.h",
                           "google/protobuf/message.h", "grpcpp/grpcpp.h",
                           "absl/container/flat_hash_map.h"):
                with self.subTest(folder=folder, header=header):
                    self.setUp()
                    self.plant(f"{folder}/a.cc", f"#include <{header}>\n")
                    self.assert_violation(f"{folder}/a.cc:1:", "pure", header)

    def test_pure_code_takes_no_lock_of_ours(self):
        self.plant_include("raft/core/log.cc", "base/mutex.h")
        self.assert_violation("raft/core/log.cc:1:", "pure")

    def test_pure_code_names_no_clock_or_random_source(self):
        for name in ("std::random_device seed;", "auto t = std::chrono::steady_clock::now();"):
            with self.subTest(name=name):
                self.setUp()
                self.plant("raft/core/log.cc", f"// a comment\n{name}\n")
                self.assert_violation("raft/core/log.cc:2:", "pure")
        self.setUp()
        self.plant("raft/core/log.cc", "// no steady_clock here\n")
        self.assert_clean()

    def test_public_headers_need_nothing_else(self):
        for include in ("<grpcpp/grpcpp.h>", "<absl/status/status.h>", '"client/router.h"'):
            with self.subTest(include=include):
                self.setUp()
                self.plant("client/router.h", "")
                self.plant("client/include/basalt/client.h", f"#include {include}\n")
                self.assert_violation("client/include/basalt/client.h:1:", "public")

    def test_grpc_in_too_many_files(self):
        self.plant("server/rpc/channel.h", "#include <grpcpp/grpcpp.h>\n")
        for number in range(25):
            self.plant(f"server/rpc/file{number}.cc", '#include "server/rpc/channel.h"\n')
        self.assert_clean()
        self.plant("server/rpc/one_more.cc", "#include <grpcpp/channel.h>\n")
        self.assert_violation("scripts/check_layers", "grpc", "26 files")

    def test_a_service_header_counts_as_grpc(self):
        self.plant("proto/client.proto", "")
        for number in range(26):
            self.plant(f"server/file{number}.cc", '#include "proto/client.grpc.pb.h"\n')
        self.assert_violation("scripts/check_layers", "grpc", "26 files")


if __name__ == "__main__":
    unittest.main()
