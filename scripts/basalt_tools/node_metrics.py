"""What nodes tell on /metrics, added up."""

import re
import urllib.request

_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def parse(text):
    """(name, labels, value) of every line that holds one."""
    for line in text.splitlines():
        if match := _SERIES.match(line):
            yield match["name"], dict(_LABEL.findall(match["labels"] or "")), float(match["value"])


def read(cluster, node, timeout_s=5):
    """The text of /metrics of one node of a LocalCluster."""
    port = cluster.base_port + 10 * node + 2
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout_s) as answer:
        return answer.read().decode()


def total(texts, name, **labels):
    """Of all series of that name with these labels, in all texts together."""
    return sum(value for text in texts for found, has, value in parse(text)
               if found == name and labels.items() <= has.items())


class Counters:
    """Counters of chosen nodes, and by how much they have risen since an earlier reading. Of a node
    that was started again meanwhile what it counted before is lost, so name only those that stay."""

    def __init__(self, cluster, nodes, names):
        """`names`: what to call it -> (series, labels)."""
        self._cluster = cluster
        self._nodes = list(nodes)
        self._names = names

    def read(self):
        texts = [read(self._cluster, node) for node in self._nodes]
        return {called: total(texts, series, **labels)
                for called, (series, labels) in self._names.items()}

    @staticmethod
    def risen(before, after):
        return {called: round(after[called] - before[called], 6) for called in after}
