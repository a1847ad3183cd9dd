"""Jobs of any size from a file: checked completely, submitted once, resumed where they stopped.

async with Session(journal="out/journal.sqlite") as session:
    job = Job.read("jobs.jsonl")
    async with run_job(session, job, "out") as run:
        async for result in run:
            print(result.key, result.status)
"""

from foxapi_async.bulk.input.job_line import JobLine
from foxapi_async.bulk.input.selection import Selection
from foxapi_async.bulk.job import Job
from foxapi_async.bulk.job_run import JobRun
from foxapi_async.bulk.plan import Plan
from foxapi_async.bulk.record.run_log import JOURNAL_NAME, RUNS_NAME, EndReason, RunLog, RunRecord
from foxapi_async.bulk.record.run_progress import RunProgress
from foxapi_async.bulk.results.file_names import check_file_names
from foxapi_async.bulk.results.results_file import RESULTS_NAME, Result, ResultStatus
from foxapi_async.bulk.run_options import GRACE
from foxapi_async.bulk.sheet.contact_sheet import SHEET_NAME
from foxapi_async.bulk.starting import run_job
from foxapi_async.bulk.summary import Summary
from foxapi_async.bulk.table.results_table import TABLE_NAME, TableReport, write_table
from foxapi_async.errors import JobFileError, Problem

__all__ = [
    "GRACE",
    "JOURNAL_NAME",
    "RESULTS_NAME",
    "RUNS_NAME",
    "SHEET_NAME",
    "TABLE_NAME",
    "EndReason",
    "Job",
    "JobFileError",
    "JobLine",
    "JobRun",
    "Plan",
    "Problem",
    "Result",
    "ResultStatus",
    "RunLog",
    "RunProgress",
    "RunRecord",
    "Selection",
    "Summary",
    "TableReport",
    "check_file_names",
    "run_job",
    "write_table",
]
