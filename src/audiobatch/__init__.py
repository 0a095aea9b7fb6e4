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
from audiobatch.models import BatchResult, Download, DownloadFailure, DownloadRequest, DownloadStatus, Stage

__all__ = [
    "AudiobatchError",
    "BatchDownloader",
    "BatchFailed",
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
    "RetryPolicy",
    "Stage",
    "stop_on_interrupt",
]
