"""The first tables."""

import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="Report",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("status", models.CharField(default="running", max_length=20)),
                ("result", models.JSONField()),
                ("updated_at", models.DateTimeField(auto_now=True, db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="Record",
            fields=[
                ("number", models.BigAutoField(primary_key=True, serialize=False)),
                ("id", models.UUIDField(unique=True)),
                ("client", models.CharField(max_length=500)),
                ("v1", models.CharField(max_length=40, null=True)),
                ("v2", models.CharField(max_length=64, null=True)),
                ("url_digest", models.CharField(max_length=64)),
                ("request", models.JSONField()),
                ("status", models.CharField(max_length=20)),
                ("created_at", models.DateTimeField()),
                ("torrent", models.BinaryField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["client", "url_digest"], name="downloads_by_url"),
                    models.Index(
                        condition=models.Q(("torrent__isnull", False)),
                        fields=["client", "number"],
                        name="downloads_unsettled",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("client", "v1"), name="downloads_by_v1"),
                    models.UniqueConstraint(fields=("client", "v2"), name="downloads_by_v2"),
                ],
            },
        ),
    ]
