"""scripts/cost_beside: what it makes of its samples; it is run over real clusters by hand."""

import importlib.machinery
import importlib.util
import pathlib
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "cost_beside"


def load():
    loader = importlib.machinery.SourceFileLoader("cost_beside", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def sample(build, load_name, cost):
    return {"build": build, "load": load_name, "server_cpu_us_per_op": cost}


class CostBesideTest(unittest.TestCase):
    def test_medians_are_compared_and_pairs_in_their_order(self):
        samples = [sample("other", "put", 100), sample("this", "put", 120),
                   sample("other", "get", 5), sample("this", "get", 50),
                   sample("other", "put", 200), sample("this", "put", 100),
                   sample("other", "put", 110), sample("this", "put", 121)]
        self.assertEqual(load().compare(samples, "put"),
                         {"other_us_per_op": 110, "us_per_op": 120, "ratio": 1.091,
                          "ratios": [1.2, 0.5, 1.1]})

    def test_a_turn_without_its_pair_is_none(self):
        with self.assertRaises(ValueError):
            load().compare([sample("other", "get", 5), sample("other", "get", 6),
                            sample("this", "get", 5)], "get")


if __name__ == "__main__":
    unittest.main()
