"""Runs on workers: dagster-celery's launcher, which also sees that a worker is gone, and cancels between two calls.

Named in deploy/celery/dagster.yaml and used by Dagster's daemon and webserver only. What a run does is no business of
this module.
"""

from celery.states import READY_STATES
from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

ANSWER_SECONDS = 10.0
"""How long a worker may take to say whether it is at a run; it answers beside its runs, so in milliseconds."""


class WatchfulCeleryRunLauncher(CeleryRunLauncher):
    """Asks the worker itself: Celery calls the task of a worker that was killed `STARTED` for ever."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether somebody is at that started run; raises kombu's OperationalError while the broker is away."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:  # it began before its launch was noted
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        task = self.celery.AsyncResult(task_id)
        if task.state in READY_STATES:  # Dagster looks once more whether the run has ended with it
            return CheckRunHealthResult(WorkerStatus.FAILED, f"its Celery task ended as {task.state}")
        worker = task.info.get("hostname") if isinstance(task.info, dict) else None
        asked = self.celery.control.inspect([worker] if worker else None, timeout=ANSWER_SECONDS)
        if any(task_id in tasks for tasks in (asked.query_task(task_id) or {}).values()):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"the worker {worker or 'of its task'} is gone or began anew")

    def terminate(self, run_id: str) -> bool:
        """Ask the run to stop as Ctrl-C does: it ends between two calls, and as cancelled, so it is not repeated."""
        run = self._instance.get_run_by_id(run_id)
        task_id = run and run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if run is None or task_id is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        self.celery.control.revoke(task_id, terminate=True, signal="SIGINT")
        return True
