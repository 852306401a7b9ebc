"""Plays a simulation's shards on a Ray cluster; the answer is the same as on one machine."""

from collections.abc import Iterable, Sequence

from recoup.lab.simulate import Say, Shard, Task, shard


class NoRay(RuntimeError):
    """Ray is not installed, or its cluster cannot be reached."""


class OnRay:
    """On the cluster that `RAY_ADDRESS` names, else on one of its own on this machine, heard on 127.0.0.1 only."""

    def __init__(self, cpus: int | None = None) -> None:
        try:
            import ray
        except ImportError as e:
            raise NoRay("Ray is not installed; install it with `pip install 'recoup[ray]'`") from e
        self._ray = ray
        self._cpus = cpus

    def __call__(self, todo: Sequence[Task], say: Say) -> Iterable[Shard]:
        ray = self._ray
        begun = not ray.is_initialized()
        if begun:
            self._begin()
        try:
            played = ray.remote(shard)
            waiting = [played.remote(task) for task in todo]
            for task, answer in zip(todo, waiting, strict=True):
                done: Shard = ray.get(answer)
                yield done
                say(task.cases)
        finally:
            if begun:
                ray.shutdown()

    def _begin(self) -> None:
        import os

        here = (
            {} if os.environ.get("RAY_ADDRESS") else {"_node_ip_address": "127.0.0.1", "num_cpus": self._cpus}
        )
        try:
            self._ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **here)
        except (ConnectionError, OSError, RuntimeError) as e:
            raise NoRay(f"the Ray cluster cannot be used; {e}; check RAY_ADDRESS") from e
