"""A tracking store in memory, to see which runs are written, and what is written to each."""


class Tree:
    """A store in memory that finds runs again; `runs` holds what is known of each by its path."""

    def __init__(self, path="", runs=None):
        self.run_id, self.runs = path, {} if runs is None else runs

    def open_run(self, experiment, name, key, tags):
        return self._open(f"{experiment}:{key}", name, tags)

    def label_experiment(self, experiment, tags):
        self.runs.setdefault(experiment, {}).update(tags)
        return experiment

    def child(self, name, tags):
        return self._open(f"{self.run_id}/{name}", name, tags)

    def _open(self, path, name, tags):
        empty = {"metrics": {}, "files": [], "tags": {}, "params": {}, "opened": 0}
        run = self.runs.setdefault(path, {"name": name, **empty})
        run["status"], run["opened"] = "running", run["opened"] + 1
        run["tags"] |= tags
        return Tree(path, self.runs)

    def log_params(self, params):
        self.runs[self.run_id]["params"] |= params

    def log_metrics(self, metrics, step=None):
        for name, value in metrics.items():
            self.runs[self.run_id]["metrics"].setdefault(name, {}).setdefault(step, value)

    def log_artifact(self, path, folder=""):
        assert path.exists()
        self.runs[self.run_id]["files"].append((folder, path.name))

    def set_tags(self, tags):
        self.runs[self.run_id]["tags"] |= tags

    def finish(self, succeeded):
        self.runs[self.run_id]["status"] = "finished" if succeeded else "failed"
