"""Settings of a Celery worker, which finds them by PYTHONPATH; docs/workers.md says how it is started.

Its lines go out as ours do, through the redactor: so this process's log is set up before Celery would set up its own.
"""

import logging
import os

from writeback_pipeline.logs import configure

configure(os.environ, "info")
logging.getLogger("celery").setLevel("INFO")
worker_hijack_root_logger = False
worker_redirect_stdouts = False

broker_url = os.environ["CELERY_BROKER_URL"]
result_backend = os.environ["CELERY_RESULT_BACKEND"]
broker_connection_retry_on_startup = True
worker_cancel_long_running_tasks_on_connection_loss = False  # a run goes on while Redis restarts
