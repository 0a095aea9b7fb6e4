"""The app: records, reports, and the views that run batches."""
