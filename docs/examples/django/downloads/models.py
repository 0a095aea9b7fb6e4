"""What is kept in the database."""

from __future__ import annotations

import uuid

from django.db import models


class Record(models.Model):
    """A download as audiobatch writes it down; `downloads.repository` alone reads and writes these.

    The constraints are what makes two processes agree: whoever comes second with an info-hash
    cannot insert it. A hash that is not there is NULL, which never equals another one.
    """

    number = models.BigAutoField(primary_key=True)  # the oldest has the least
    id = models.UUIDField(unique=True)
    client = models.CharField(max_length=500)
    v1 = models.CharField(max_length=40, null=True)  # noqa: DJ001 - see above
    v2 = models.CharField(max_length=64, null=True)  # noqa: DJ001
    url_digest = models.CharField(max_length=64)  # a URL can be longer than an index of PostgreSQL takes
    request = models.JSONField()
    status = models.CharField(max_length=20)
    created_at = models.DateTimeField()
    torrent = models.BinaryField(null=True)

    class Meta:
        """Constraints and indexes."""

        constraints = (
            models.UniqueConstraint(fields=["client", "v1"], name="downloads_by_v1"),
            models.UniqueConstraint(fields=["client", "v2"], name="downloads_by_v2"),
        )
        indexes = (
            models.Index(fields=["client", "url_digest"], name="downloads_by_url"),
            # The few records that still hold their torrent are found without a look at all the others.
            models.Index(
                fields=["client", "number"], condition=models.Q(torrent__isnull=False), name="downloads_unsettled"
            ),
        )

    def __str__(self) -> str:
        return str(self.id)


class Report(models.Model):
    """How a batch stands that runs in the background: here every process can read it.

    If its process is killed, it stays "running", and `updated_at` stands still. To send the
    batch once more is harmless then.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    status = models.CharField(max_length=20, default="running")
    result = models.JSONField()
    updated_at = models.DateTimeField(auto_now=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.id}: {self.status}"
