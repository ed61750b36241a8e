"""A Ray cluster of several nodes on this machine, until stdin ends: `ray_cluster.py CORES,CORES… [taken]`.

Its address is the one line that it writes; with `taken` something holds every core of it.
"""

from __future__ import annotations

import sys


def main(cores: list[int], *, taken: bool) -> None:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cores[0], "include_dashboard": False})
    for count in cores[1:]:
        cluster.add_node(num_cpus=count)
    if taken:
        ray.init(cluster.address, log_to_driver=False)
        holders = [ray.remote(Holder).options(num_cpus=1).remote() for _ in range(sum(cores))]
        ray.get([one.there.remote() for one in holders])
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


class Holder:
    def there(self) -> None:
        pass


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1].split(",")], taken="taken" in sys.argv[2:])
