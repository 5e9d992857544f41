"""The code of a registered model: MLflow copies this file beside the bundle, and runs it.

It stands alone in the model's folder, so it imports isthmus by its full name, and nothing beside
itself. MLflow's scoring server answers 4xx to its own class of errors with a client's code, and
would answer with a stack to any other.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE

from isthmus.promotion.bundle.load import load_bundle
from isthmus.promotion.serving.answers import ANSWER_COLUMNS, answer
from isthmus.promotion.serving.requests import RECONSTRUCT, RequestRefused, allowed_folder

_logger = logging.getLogger(__name__)


class ServedEncoder(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A bundle behind MLflow's pyfunc interface."""

    def load_context(self, context: Any) -> None:
        """Load and verify the bundle, and read what the server's environment allows.

        Parameters
        ----------
        context : mlflow.pyfunc.PythonModelContext
            With the artifact ``bundle``.

        Raises
        ------
        ConfigError
            If the bundle was changed, or ``ISTHMUS_SERVE_IMAGES`` names no folder.
        """
        self._model = load_bundle(Path(context.artifacts["bundle"]))
        self._images = allowed_folder(os.environ)
        # One request at a time: two at once would take twice the memory and be no faster.
        self._alone = threading.Lock()

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer a request.

        Parameters
        ----------
        context : mlflow.pyfunc.PythonModelContext
            Not used.
        model_input : DataFrame
            One row a subject: see docs/serving.md.
        params : dict, optional
            ``reconstruct``: whether to answer with reconstructed images.

        Returns
        -------
        DataFrame
            One row a subject, in the same order.

        Raises
        ------
        MlflowException
            INVALID_PARAMETER_VALUE (400), with the reason, if the request cannot be answered;
            INTERNAL_ERROR (500) if anything else goes wrong.
        """
        sent = model_input.to_dict(orient="records")
        try:
            with self._alone:
                rows = answer(
                    [{str(name): value for name, value in row.items()} for row in sent],
                    self._model,
                    reconstruct=bool((params or {}).get(RECONSTRUCT, False)),
                    images=self._images,
                )
        except RequestRefused as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        except Exception as error:
            _logger.exception("A request could not be answered")
            what = f"The model failed ({type(error).__name__}); the server's log has the stack."
            raise MlflowException(what, error_code=INTERNAL_ERROR) from None
        # Without a common type, null stays null: JSON has no NaN.
        columns = [column.name for column in ANSWER_COLUMNS]
        return pd.DataFrame(rows, columns=columns, dtype=object)


mlflow.models.set_model(ServedEncoder())
