"""Queue batches of audiobook downloads, and report the truth about each of them."""

from audiobatch._interrupt import stop_on_interrupt
from audiobatch._retry import RetryPolicy
from audiobatch.downloader import BatchDownloader
from audiobatch.errors import (
    AudiobatchError,
    BatchFailed,
    BatchTooLargeError,
    EmptyBatchError,
    FailureCode,
    InvalidBatchError,
    InvalidRequestError,
)
from audiobatch.models import Download, DownloadRequest, DownloadStatus
from audiobatch.plans import BatchPlan, PlannedAction, PlannedDownload
from audiobatch.results import BatchResult, DownloadFailure, Stage

__all__ = [
    "AudiobatchError",
    "BatchDownloader",
    "BatchFailed",
    "BatchPlan",
    "BatchResult",
    "BatchTooLargeError",
    "Download",
    "DownloadFailure",
    "DownloadRequest",
    "DownloadStatus",
    "EmptyBatchError",
    "FailureCode",
    "InvalidBatchError",
    "InvalidRequestError",
    "PlannedAction",
    "PlannedDownload",
    "RetryPolicy",
    "Stage",
    "stop_on_interrupt",
]
