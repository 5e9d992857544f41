"""Floor 7: the only modules that import ray, optuna and mlflow.

Both libraries read their switches once, when they are imported, so the switches are set here,
before any module of this package can import them. What the user has set already is left alone.
"""

import os

_SWITCHES = {
    # MLflow: no telemetry, no links and progress bars on a terminal that rich draws on.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A server that restarts is waited for about a minute, not four, and not for ever.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # What is tracked to a server goes through it: its bucket may be out of a client's reach, and a
    # client that tries all the same does so for minutes.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    # Ray: clients default to no authentication while local heads demand a token.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Of several tasks that failed one is told of: the first one.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # What still asks Ray for something while a session ends would start or join another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ray Tune: what it reports is not always an objective, and its own state is of no use later.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Ray Train: 15 s instead of 25 s for the smallest fit on two workers.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # Workers stay in the folder they were started in, or relative paths would change meaning.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}

for _name, _value in _SWITCHES.items():
    os.environ.setdefault(_name, _value)
