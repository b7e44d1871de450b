"""The gateway beside what a user would pick instead (`run`), and beside its own past (`quick`)."""
