"""Old versions go: disk use follows what is kept, not what was ever written."""

import subprocess
import unittest

from process_test_case import ProcessTest, binary, wait_for

KIB = 1 << 10
MIB = 1 << 20
SHARDS = 2
KEYS = 4000
VALUE = KIB
LOGICAL = KEYS * VALUE // SHARDS  # of a shard, at least


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # compacted away meanwhile


class OldVersionsTest(ProcessTest):
    def churn(self, cluster, seconds):
        """Overwrites KEYS keys for so long."""
        done = subprocess.run(
            [str(binary("kvctl")), "--endpoints", cluster.endpoints, "bench", "--workload", "put",
             "--value-size", str(VALUE), "--clients", "64", "--duration", f"{seconds}s",
             "--keys", str(KEYS), "--no-verify"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 60,
            check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    @staticmethod
    def stored(cluster):
        """Bytes of sorted files, by (node, shard)."""
        sizes = {}
        for node in range(1, cluster.nodes + 1):
            for shard in range(1, SHARDS + 1):
                folders = (cluster.data_dir(node) / "shards").glob(f"{shard}-*/db-*")
                sizes[node, shard] = sum(size_of(file) for folder in folders
                                         for file in folder.glob("*.sst"))
        return sizes

    def versions(self, cluster, shard):
        """Of the shard, as node 1 shows them."""
        text = cluster.kvctl("debug", "scan-replica", shard, "--node", "1").stdout
        return len(text.splitlines()) - 1

    def check_shrinks(self, retention, old_versions_max, kept_besides):
        cluster = self.make_cluster(shards=SHARDS, environment={
            "BASALT_VERSION_RETENTION": retention, "BASALT_OLD_VERSIONS_MAX": old_versions_max,
            "BASALT_WRITE_BUFFER": "8MiB", "BASALT_LOG_LEVEL": "warn"})
        cluster.wait_ready()

        def overwritten():
            self.churn(cluster, 2)
            return self.metric(cluster, 1, "basalt_apply_commands_total") > 10 * KEYS
        wait_for("ten versions of each key", 40, overwritten)
        limit = 3 * LOGICAL + kept_besides

        # What replicas show counts too, whatever was dropped where: every key once, and what the
        # bound keeps.
        def small():
            sizes = self.stored(cluster)
            return (all(0 < size < limit for size in sizes.values())
                    and all(self.versions(cluster, shard) * VALUE < 1.5 * LOGICAL + kept_besides
                            for shard in range(1, SHARDS + 1)))
        wait_for(f"every replica's files below {limit} bytes", 40, small, interval_s=0.5)

    def test_after_the_retention(self):
        self.check_shrinks("2s", "0", 0)

    def test_with_a_bound_on_old_versions(self):
        self.check_shrinks("1h", "1MiB", 2 * MIB)


if __name__ == "__main__":
    unittest.main()
