"""Run MLflow's server in this process: ``python -m rtmlops_lib.stack.mlflow_server``.

``mlflow server`` keeps a second process of 250 MB that only waits for the first, and
takes twice as long to start. This sets what that command sets, then serves the same
application. The names are MLflow's own constants, of the one release we pin.
"""

from __future__ import annotations

import os
import sys
import uuid

__all__ = ["main"]

# Relative to the folder that the supervisor starts it in: a path with a blank or a
# percent sign need not be quoted into a URL, and the folder may be moved.
_BACKEND = "sqlite:///mlflow.db"
_ARTIFACTS = "./artifacts"


def main(port: int) -> None:
    """Serve the registry of the working folder on ``127.0.0.1:port``, for ever."""
    os.environ.update(
        # Both are read when mlflow is imported.
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
        # Evaluation jobs would start a consumer process for each queue.
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_SERVER_ALLOWED_HOSTS=f"127.0.0.1:{port},localhost:{port}",
        # Migrations of the database announce each step.
        MLFLOW_LOGGING_LEVEL="WARNING",
    )
    from mlflow.environment_variables import _MLFLOW_SERVER_BOOT_ID, _MLFLOW_SGI_NAME
    from mlflow.server import constants

    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: _BACKEND,
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: _ARTIFACTS,
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
            _MLFLOW_SERVER_BOOT_ID.name: uuid.uuid4().hex,
            _MLFLOW_SGI_NAME.name: "uvicorn",
        }
    )
    import uvicorn
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    # Creates the tables now, so that the server is not "healthy" before it can answer.
    initialize_backend_stores(_BACKEND, None, "mlflow-artifacts:/")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
