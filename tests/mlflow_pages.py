"""What MLflow's own pages always say, and what a comparison of trials must show."""

MLFLOW_SAYS = {
    r"404.*/ajax-api/2\.0/mlflow/users/current": "MLflow asks who is logged in, and a server "
    "without accounts has no such address",
    r"Failed to load resource.*404.*/mlflow/users/current": "the same, as the console says it",
    r"ResizeObserver loop completed with undelivered notifications": "the browser's note that a "
    "panel of MLflow's was laid out over two frames",
}
# MLflow opens a panel of its own over a third of the page the first time; later it stays closed.
CLOSED = """const assistant = { panelOpen: false, "fab.autoOpenedOnFirstLoad": true };
if (window === top) for (const [key, value] of Object.entries(assistant))
  localStorage.setItem(`mlflow.assistant.${key}_v1`, JSON.stringify(value));"""
SHOWN = (
    "model.embedding_size",
    "model.depth",
    "model.convolution",
    "validation_mse",
    "validation_cnr_ratio",
    "strata_robustness_score",
)
